//! The ledger in the schema `rolewright`. Everything here runs inside the caller's transaction.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Claim, Converged, FORMAT, Ledger, LedgerError, State, Update, expressions, record};
use crate::resolve::{Record, Records};

/// Cycles that are remembered; older ones go.
const HISTORY_LENGTH: i64 = 1_000;

/// What the keys of scripts begin with.
const SCRIPT: &str = "script:";

/// Decides by who owns the schema, and whether it could be made.
pub(super) async fn locate(client: &Client, file: impl FnOnce() -> std::path::PathBuf) -> Result<Ledger, LedgerError> {
    let rows = client.query_typed(include_str!("queries/locate.sql"), &[]).await?;
    let Some(row) = rows.first() else { return Ok(Ledger::File(file())) };
    let exists: bool = row.try_get("exists")?;
    if let Some(owner) = row.try_get::<_, Option<String>>("foreign_owner")? {
        return Err(LedgerError::ForeignSchema { owner });
    }
    let usable: bool = row.try_get("usable")?;
    let may_create: bool = row.try_get("may_create")?;
    if (exists && usable) || (!exists && may_create) {
        Ok(Ledger::Database { exists })
    } else {
        Ok(Ledger::File(file()))
    }
}

pub(super) async fn create(client: &Client) -> Result<(), LedgerError> {
    client.batch_execute(include_str!("queries/create.sql")).await?;
    let sql = "INSERT INTO rolewright.state (key, value) VALUES ('format', $1)";
    client.execute_typed(sql, &[(&FORMAT, Type::TEXT)]).await?;
    Ok(())
}

/// `None`: the ledger was never written.
pub(super) async fn read(client: &Client) -> Result<Option<State>, LedgerError> {
    let (state, roles) = tokio::try_join!(
        client.query_typed("SELECT key, value FROM rolewright.state", &[]),
        client.query_typed(include_str!("queries/read.sql"), &[]),
    )?;
    let value = |key: &str| {
        let row = state.iter().find(|row| row.try_get::<_, &str>(0).is_ok_and(|found| found == key))?;
        row.try_get::<_, String>(1).ok()
    };
    match value("format") {
        Some(format) if format == FORMAT => {}
        Some(found) => return Err(LedgerError::UnknownFormat { found, known: FORMAT }),
        None => return Ok(None),
    }
    let mut records = Records::new();
    for row in &roles {
        let name: String = row.try_get("name")?;
        let applied: Option<&str> = row.try_get("applied")?;
        let (applied, leaving_since) = record::applied_of(&name, applied)?;
        let record = Record {
            oid: row.try_get("oid")?,
            kind: record::kind(&name, row.try_get("kind")?)?,
            origin: record::origin(&name, row.try_get("origin")?)?,
            secret_version: row.try_get("secret_version")?,
            row_version: row.try_get("row_version")?,
            applied,
            leaving_since,
        };
        records.insert(name, record);
    }
    let converged = match (value("inputs"), value("fingerprint")) {
        (Some(inputs), Some(fingerprint)) => Some(Converged { inputs, fingerprint }),
        _ => None,
    };
    let mut scripts = BTreeMap::new();
    for row in &state {
        let Some(name) = row.try_get::<_, &str>(0)?.strip_prefix(SCRIPT) else { continue };
        scripts.insert(name.to_owned(), record::ran_script(name, row.try_get(1)?)?);
    }
    let expressions = value(expressions::KEY).map(|json| expressions::from_json(&json)).unwrap_or_default();
    Ok(Some(State { records, converged, expressions, scripts, adopted: false }))
}

/// What was last seen to need nothing; `None` where there is no ledger to ask.
pub(super) async fn converged(client: &Client) -> Result<Option<Converged>, LedgerError> {
    match client.query_typed(include_str!("queries/converged.sql"), &[]).await {
        Ok(rows) => match rows.first() {
            Some(row) => Ok(Some(Converged { inputs: row.try_get(0)?, fingerprint: row.try_get(1)? })),
            None => Ok(None),
        },
        Err(error) => match error.code() {
            Some(code)
                if *code == SqlState::UNDEFINED_TABLE
                    || *code == SqlState::INVALID_SCHEMA_NAME
                    || *code == SqlState::INSUFFICIENT_PRIVILEGE =>
            {
                Ok(None)
            }
            _ => Err(error.into()),
        },
    }
}

pub(super) async fn holder(client: &Client) -> Result<Option<Claim>, LedgerError> {
    let rows = client.query_typed(include_str!("queries/holder.sql"), &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let term: Option<&str> = row.try_get(1)?;
    Ok(Some(Claim { instance: row.try_get(0)?, term: term.and_then(|term| term.parse().ok()) }))
}

pub(super) async fn claim(client: &Client, claim: &Claim) -> Result<(), LedgerError> {
    let term = claim.term.map(|term| term.to_string());
    let sql = include_str!("queries/claim.sql");
    client.execute_typed(sql, &[(&claim.instance, Type::TEXT), (&term, Type::TEXT)]).await?;
    Ok(())
}

fn applied_json(record: &Record) -> Option<String> {
    record.applied.as_ref().map(|role| record::to_json(role, record.leaving_since))
}

pub(super) async fn write(client: &Client, update: &Update) -> Result<(), LedgerError> {
    if !update.renamed.is_empty() {
        let old: Vec<&str> = update.renamed.iter().map(|rename| rename.from.as_str()).collect();
        let new: Vec<&str> = update.renamed.iter().map(|rename| rename.to.as_str()).collect();
        // What may be recorded under the new name was another role, which is there no more.
        let sql = "DELETE FROM rolewright.roles WHERE name = ANY ($1)";
        client.execute_typed(sql, &[(&new, Type::TEXT_ARRAY)]).await?;
        let sql = "UPDATE rolewright.roles AS l SET name = r.new, changed = now() \
                   FROM unnest($1, $2) AS r (old, new) WHERE l.name = r.old";
        client.execute_typed(sql, &[(&old, Type::TEXT_ARRAY), (&new, Type::TEXT_ARRAY)]).await?;
    }
    if !update.upserts.is_empty() {
        let names: Vec<&str> = update.upserts.keys().map(String::as_str).collect();
        let kinds: Vec<&str> = update.upserts.values().map(|record| record::kind_word(record.kind)).collect();
        let origins: Vec<&str> = update.upserts.values().map(|record| record::origin_word(record.origin)).collect();
        let versions: Vec<Option<&str>> =
            update.upserts.values().map(|record| record.secret_version.as_deref()).collect();
        let applied: Vec<Option<String>> = update.upserts.values().map(applied_json).collect();
        let may_read: bool = client
            .query_typed("SELECT has_table_privilege('pg_authid', 'SELECT')", &[])
            .await?
            .first()
            .map_or(Ok(false), |row| row.try_get(0))?;
        let sql = if may_read {
            include_str!("queries/upsert.sql")
        } else {
            include_str!("queries/upsert_without_verifiers.sql")
        };
        client
            .execute_typed(
                sql,
                &[
                    (&names, Type::TEXT_ARRAY),
                    (&kinds, Type::TEXT_ARRAY),
                    (&origins, Type::TEXT_ARRAY),
                    (&versions, Type::TEXT_ARRAY),
                    (&applied, Type::TEXT_ARRAY),
                ],
            )
            .await?;
    }
    if !update.removed.is_empty() {
        let sql = "DELETE FROM rolewright.roles WHERE name = ANY ($1)";
        client.execute_typed(sql, &[(&update.removed, Type::TEXT_ARRAY)]).await?;
    }
    for (name, ran) in &update.scripts {
        let key = format!("{SCRIPT}{name}");
        if ran.digests().is_empty() {
            let sql = "DELETE FROM rolewright.state WHERE key = $1";
            client.execute_typed(sql, &[(&key, Type::TEXT)]).await?;
        } else {
            let sql = include_str!("queries/set_script.sql");
            client.execute_typed(sql, &[(&key, Type::TEXT), (&ran.digests(), Type::TEXT_ARRAY)]).await?;
        }
    }
    if let Some(entry) = &update.history {
        let (summary, steps) = (entry.summary.to_string(), entry.steps.to_string());
        client
            .execute_typed(
                "INSERT INTO rolewright.history (digest, summary, steps, instance)
                 VALUES ($1, $2::text::jsonb, $3::text::jsonb, $4)",
                &[
                    (&entry.digest, Type::TEXT),
                    (&summary, Type::TEXT),
                    (&steps, Type::TEXT),
                    (&update.claim.as_ref().map(|claim| &claim.instance), Type::TEXT),
                ],
            )
            .await?;
        let sql = "DELETE FROM rolewright.history WHERE id <= (SELECT max(id) FROM rolewright.history) - $1";
        client.execute_typed(sql, &[(&HISTORY_LENGTH, Type::INT8)]).await?;
    }
    if let Some(ours) = &update.claim {
        claim(client, ours).await?;
    }
    if let Some(known) = &update.expressions {
        let sql = "INSERT INTO rolewright.state (key, value) VALUES ($1, $2) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let json = expressions::to_json(known);
        client.execute_typed(sql, &[(&expressions::KEY, Type::TEXT), (&json, Type::TEXT)]).await?;
    }
    match &update.converged {
        Some(converged) => {
            client
                .execute_typed(
                    include_str!("queries/set_converged.sql"),
                    &[(&converged.inputs, Type::TEXT), (&converged.fingerprint, Type::TEXT)],
                )
                .await?;
        }
        None => {
            let sql = "DELETE FROM rolewright.state WHERE key IN ('inputs', 'fingerprint')";
            client.execute_typed(sql, &[]).await?;
        }
    }
    Ok(())
}
