//! `rolewright who-can` and `rolewright explain`: who can do what now, and why. Both only read, and need neither a source nor
//! a cluster.

use anyhow::{Context as _, bail};
use tokio_postgres::Client;

use super::args::{ExplainArgs, GraphFormat, WhoCanArgs};
use super::print;
use crate::access::explain::{self as explaining, Explanation, Inside};
use crate::access::who::{self, Subject};
use crate::access::words::{self, Named, Request};
use crate::access::{Kind, Object, Oid, lookup};
use crate::catalog::Server;
use crate::postgres::access::{self, Here, Which};
use crate::postgres::connect::Failure;
use crate::postgres::{ConnectError, Target, connect};
use crate::present::View;
use crate::present::access::drawing::Drawing;
use crate::present::access::{explanation, who as told};
use crate::printable::name;
use crate::reconcile::CycleError;
use crate::spec::nearest;

pub(super) async fn who_can(arguments: WhoCanArgs) -> anyhow::Result<u8> {
    let Request { privilege, on } = words::parse(&arguments.words.join(" "))?;
    let target = arguments.server.target();
    let client = match (&arguments.database, on.kind.is_some_and(Kind::is_shared)) {
        (Some(database), _) => connect_to(&target, database).await?,
        (None, true) => connect(&target).await?,
        (None, false) => {
            let known = databases_of(&connect(&target).await?).await?;
            bail!(
                "{} lies in a database: say in which one with --database; there are {}",
                on.in_words(),
                known.join(", ")
            )
        }
    };
    access::begin(&client).await.map_err(unread)?;
    let here = access::here(&client).await.map_err(unread)?;
    if on.kind == Some(Kind::Parameter) {
        // Before 15 there is nothing to read.
        lookup::check(Kind::Parameter, privilege, here.roles.version())?;
    }
    let subject = subject(&client, &here, &on).await?;
    let kind = if on.column.is_some() { Kind::Column } else { subject.object.kind };
    lookup::check(kind, privilege, here.roles.version())?;
    // Who owns a database is known only inside of it.
    let owner = match subject.object.kind {
        Kind::Database => subject.object.owner,
        _ => here.owner,
    };
    let answer = who::who_can(&here.roles.in_database_of(owner), &subject, privilege, here.now);
    print(&match arguments.format {
        GraphFormat::Text => told::text(&answer),
        GraphFormat::Json => told::json(&answer),
        GraphFormat::Dot => told::drawing(&answer).dot(),
        GraphFormat::Mermaid => told::drawing(&answer).mermaid(),
    })?;
    Ok(0)
}

/// The object that is asked about, and what surrounds it.
async fn subject(client: &Client, here: &Here, on: &Named) -> anyhow::Result<Subject> {
    let kind = on.kind.unwrap_or(Kind::Table);
    let which = Which { schema: on.schema.as_deref(), name: Some(&on.name), grantees: None };
    let found = access::objects(client, kind, which).await.map_err(unread)?;
    let mut arguments = None;
    if let Some(written) = &on.arguments {
        let schema = found.iter().find(|object| !object.is_system()).or(found.first()).and_then(|it| it.schema.clone());
        let schema = on.schema.clone().or(schema);
        arguments = access::arguments(client, schema.as_deref(), &on.name, written).await.map_err(unread)?;
    }
    let exists = found.iter().any(|object| on.arguments.is_none() || object.part == arguments);
    let others = match exists {
        true => Vec::new(),
        // Names only: nobody holds anything there.
        false => {
            access::objects(client, kind, Which { grantees: Some(&[]), ..Which::default() }).await.map_err(unread)?
        }
    };
    let place = if kind.is_shared() { "this server".to_owned() } else { format!("database {}", name(&here.database)) };
    let object = lookup::choose(on, found, arguments.as_deref(), &place, || others)?;
    let inside = Which { schema: object.schema.as_deref(), name: Some(&object.name), grantees: None };
    let columns = match object.kind {
        Kind::Table => access::objects(client, Kind::Column, inside).await.map_err(unread)?,
        _ => Vec::new(),
    };
    if let Some(column) = &on.column {
        lookup::column(&object, column, &access::column_names(client, &object).await.map_err(unread)?)?;
    }
    let schema = match object.schema.as_deref() {
        None => None,
        schema => one(client, Kind::Schema, schema).await?,
    };
    let database = match object.kind {
        Kind::Database => Some(object.clone()),
        kind if kind.is_shared() => None,
        _ => one(client, Kind::Database, Some(&here.database)).await?,
    };
    Ok(Subject { object, column: on.column.clone(), columns, schema, database })
}

async fn one(client: &Client, kind: Kind, named: Option<&str>) -> anyhow::Result<Option<Object>> {
    let found = access::objects(client, kind, Which { name: named, ..Which::default() }).await.map_err(unread)?;
    Ok(found.into_iter().next())
}

pub(super) async fn explain(arguments: ExplainArgs) -> anyhow::Result<u8> {
    let target = arguments.server.target();
    let explained = explained(&target, &arguments.role, &arguments.databases).await?;
    let drawing = |draw: fn(&Drawing) -> String| draw(&explanation::drawing(&explained));
    print(&match arguments.format {
        GraphFormat::Text => explanation::text(&explained),
        GraphFormat::Json => explanation::json(&explained),
        GraphFormat::Dot => drawing(Drawing::dot),
        GraphFormat::Mermaid => drawing(Drawing::mermaid),
    })?;
    Ok(0)
}

/// The same beside a plan: in the databases that were looked into for it. `None`: the plan makes the role.
pub(super) async fn explained_beside(
    target: &Target,
    role: &str,
    view: &View<'_>,
) -> anyhow::Result<Option<Explanation>> {
    if !view.catalog.roles.contains_key(role) && view.desired.contains_key(role) {
        return Ok(None);
    }
    let databases: Vec<String> = view.catalog.objects.keys().cloned().collect();
    explained(target, role, &databases).await.map(Some)
}

/// What a role can do on a server, and in these databases of it.
pub(super) async fn explained(target: &Target, role: &str, databases: &[String]) -> anyhow::Result<Explanation> {
    let client = connect(target).await?;
    access::begin(&client).await.map_err(unread)?;
    let here = access::here(&client).await.map_err(unread)?;
    let all = access::objects(&client, Kind::Database, Which::default()).await.map_err(unread)?;
    drop(client);
    let known: Vec<&str> = here.roles.iter().map(|(_, role)| role.name.as_str()).collect();
    let Some(oid) = here.roles.named(role) else {
        let meant = nearest(role, &known).map(|meant| format!("; did you mean {}?", name(meant)));
        bail!(
            "there is no role {} on {target}{}",
            name(role),
            meant.unwrap_or_else(|| "; correct the name".to_owned())
        );
    };
    let mut inside = Vec::new();
    for database in databases {
        let owner = all.iter().find(|it| it.name == *database).map_or(0, |it| it.owner);
        let grantees = explaining::grantees(&here.roles.in_database_of(owner), oid);
        inside.push(look_into(target, database, owner, &grantees).await?);
    }
    let explained = explaining::explain(&here.roles, oid, &all, &inside, here.now);
    explained.with_context(|| format!("role {} is gone", name(role)))
}

async fn look_into(target: &Target, database: &str, owner: Oid, grantees: &[Oid]) -> anyhow::Result<Inside> {
    let client = connect_to(target, database).await?;
    access::begin(&client).await.map_err(unread)?;
    let which = Which { grantees: Some(grantees), ..Which::default() };
    let mut objects = Vec::new();
    for kind in [Kind::Schema, Kind::Table, Kind::Column, Kind::Routine] {
        objects.extend(access::objects(&client, kind, which).await.map_err(unread)?);
    }
    let defaults = access::default_privileges(&client, grantees).await.map_err(unread)?;
    Ok(Inside { database: database.to_owned(), owner, objects, defaults })
}

/// Connects to a database of the server, or says which there are.
async fn connect_to(target: &Target, database: &str) -> anyhow::Result<Client> {
    match connect(&target.with_database(database)).await {
        Err(ConnectError { failure: Failure::NoDatabase(_), .. }) => {
            let known = databases_of(&connect(target).await?).await?;
            let server = format!("{}:{}", target.host, target.port);
            bail!(
                "there is no database {} on {server}; there are {}. Correct --database",
                name(database),
                known.join(", ")
            )
        }
        connected => Ok(connected?),
    }
}

async fn databases_of(client: &Client) -> anyhow::Result<Vec<String>> {
    let all = access::objects(client, Kind::Database, Which { grantees: Some(&[]), ..Which::default() }).await;
    Ok(all.map_err(unread)?.iter().map(|database| name(&database.name).into_owned()).collect())
}

fn unread(error: tokio_postgres::Error) -> CycleError {
    CycleError::postgres(&error, "read roles and privileges", &Server::default())
}
