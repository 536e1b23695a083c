//! `rolewright import`: prints the users.yaml that declares what a server holds. Nothing is changed, and neither a source
//! nor a cluster is needed.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::args::ImportArgs;
use super::print;
use crate::catalog::{Catalog, Objects, Question, Server};
use crate::import::{self, Imported, Unusual};
use crate::ledger::Ledger;
use crate::model::{PUBLIC, Standing};
use crate::postgres::{ConnectError, Target, connect, objects, row_security, snapshot, unusual};
use crate::printable::{self, counted};
use crate::reconcile::CycleError;
use crate::spec::{self, Document};

/// What a ConfigMap can hold: <https://kubernetes.io/docs/concepts/configuration/configmap/>.
const MAX_BYTES: usize = 1 << 20;

pub(super) async fn import(arguments: ImportArgs) -> anyhow::Result<u8> {
    let target = arguments.server.target();
    let client = connect(&target).await?;
    let read = snapshot::read(&client, &target.to_string()).await;
    let snapshot = read.map_err(|error| CycleError::postgres(&error, "read the catalog", &Server::default()))?;
    let mut catalog = snapshot.catalog;
    catalog.assign_standing(&arguments.protected_roles.unwrap_or_default().0, &BTreeSet::new());
    let unusual = unusual::read(&client).await;
    let unusual = unusual.map_err(|error| CycleError::postgres(&error, "read the databases", &catalog.server))?;
    // No more than a word is said of it, so that a ledger which cannot be used is as good as none.
    let ledger = Ledger::locate(&client, Path::new("")).await;
    let is_managed = matches!(ledger, Ok(Ledger::Database { exists: true }));
    drop(client);
    for database in &arguments.databases {
        let inside = look_into(&catalog, &target, database).await??;
        catalog.objects.insert(database.clone(), inside);
    }
    if arguments.all_databases {
        look_into_all(&mut catalog, &target, &unusual).await?;
    }

    let imported = import::import(&catalog, Some(&unusual).filter(|_| !arguments.no_databases));
    let users_yaml = imported.users_yaml();
    check(&users_yaml)?;
    tell(&imported, &target.user);
    if is_managed {
        eprintln!(
            "note: Rolewright has a ledger here already; what a users.yaml alone can say, such as the `until` of a \
             membership, `mode` and `labels`, is not on the server and so not imported"
        );
    }
    print(&match &arguments.configmap {
        Some(name) => imported.configmap(name, arguments.namespace.as_deref()),
        None => users_yaml,
    })?;
    Ok(0)
}

/// What the roles that are not protected hold in a database, and PUBLIC. The inner error: it lets nobody in.
async fn look_into(
    catalog: &Catalog,
    target: &Target,
    database: &str,
) -> anyhow::Result<Result<Objects, ConnectError>> {
    if !catalog.databases.contains_key(database) {
        let known: Vec<&str> = catalog.databases.keys().map(String::as_str).collect();
        bail!("there is no database {database:?} on {target}; there are {known:?}. Correct --database");
    }
    let client = match connect(&target.with_database(database)).await {
        Ok(client) => client,
        Err(error) => return Ok(Err(error)),
    };
    let read = |error| CycleError::postgres(&error, &format!("read database {database:?}"), &catalog.server);
    let ours = catalog.roles.values().filter(|role| role.standing != Standing::Protected);
    let roles = ours.map(|role| role.name.clone()).chain([PUBLIC.to_owned()]).collect();
    let mut question = Question { roles, ..Question::default() };
    // First which schemas there are, then what lies in them.
    let schemas = objects::read(&client, catalog, &Question::default()).await.map_err(read)?.schemas;
    question.schemas = schemas.into_keys().collect();
    question.secured = row_security::secured(&client).await.map_err(read)?;
    Ok(Ok(objects::read(&client, catalog, &question).await.map_err(read)?))
}

/// The same for each that people have made for their data. One that lets nobody in is noted; what may pass is an error,
/// since the file would lack half of the server.
async fn look_into_all(catalog: &mut Catalog, target: &Target, unusual: &Unusual) -> anyhow::Result<()> {
    let names: Vec<String> = catalog.databases.keys().filter(|name| unusual.is_usual(name)).cloned().collect();
    for name in names {
        if catalog.objects.contains_key(&name) {
            continue;
        }
        match look_into(catalog, target, &name).await? {
            Ok(inside) => {
                catalog.objects.insert(name, inside);
            }
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                catalog.closed.insert(name, error.failure.to_string());
            }
        }
    }
    Ok(())
}

/// What is printed has to be taken by whoever reads it.
fn check(users_yaml: &str) -> anyhow::Result<()> {
    if users_yaml.len() > MAX_BYTES {
        let size = users_yaml.len();
        bail!(
            "users.yaml would have {size} bytes, and a ConfigMap holds {MAX_BYTES}; leave databases out, or leave roles \
             out with PROTECTED_ROLES"
        );
    }
    match spec::parse(&Document::plain("users.yaml", users_yaml)) {
        Ok(_) => Ok(()),
        Err(diagnostics) => Err(anyhow::Error::msg(diagnostics.first().map(ToString::to_string).unwrap_or_default()))
            .context("what was written is no good users.yaml, which is a mistake in Rolewright: please report it"),
    }
}

/// To whoever called: what is not in the document, and what it takes besides.
fn tell(imported: &Imported, controller: &str) {
    for warning in imported.warnings() {
        eprintln!("warning: {warning}");
    }
    if imported.unseen_passwords() > 0 {
        eprintln!(
            "warning: {} may not read pg_authid, so that nobody can tell which users have a password: all {} are taken to \
             have one. Write `password: none` where that is wrong, or import as a superuser",
            printable::name(controller),
            imported.unseen_passwords()
        );
    }
    let secrets = imported.secrets();
    if !secrets.is_empty() {
        eprintln!(
            "note: passwords cannot be read from a server. Create these Secrets with those in use; until then, their users \
             are left as they are:"
        );
        for wanted in secrets {
            eprintln!("  {}, key {}: {}", wanted.secret.name, wanted.secret.key, printable::name(wanted.user));
        }
    }
    let [users, roles, databases] = imported.counts();
    eprintln!(
        "note: {}, {} and {} imported",
        counted(users, "user"),
        counted(roles, "group role"),
        counted(databases, "database")
    );
}
