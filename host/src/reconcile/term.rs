//! One instance at a time. A Lease says which one should act; this is what keeps the others from
//! acting all the same. Whoever becomes leader writes its name into the ledger, under the lock that
//! every change is made under, and every transaction begins with a look at that name. So an instance
//! that was paused, or cut off from the API server, cannot carry out a plan of the past: it finds
//! another's name. Nor can it put its own in that place: beside the name stands the number of the
//! term, and a claim of an earlier term is refused. A Lease alone could not do that, since nobody
//! knows how old the knowledge is on which a process acts.

use std::sync::atomic::Ordering;

use tokio_postgres::Client;

use super::{CycleError, Reconciler, Term};
use crate::catalog::Server;
use crate::ledger::{Claim, Ledger};
use crate::postgres::apply;

impl Term {
    fn claim(&self) -> Claim {
        Claim { instance: self.instance.clone(), term: Some(self.number.load(Ordering::Relaxed)) }
    }
}

impl Reconciler {
    /// Claims the ledger, once in each term, unless the term is over.
    pub(super) async fn claim(&self) -> Result<(), CycleError> {
        let Some(term) = self.term.as_ref().filter(|term| !term.claimed.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        let client = self.pool.get().await?;
        apply::lock(&client).await.map_err(|error| {
            CycleError::postgres(&error, "take the lock that keeps instances apart", &Server::default())
        })?;
        // The lock is given back as the session goes back to the pool.
        let ledger = Ledger::locate(&client, &self.settings.state_file).await?;
        if let Some(later) = ledger.claim(&client, &term.claim()).await? {
            return Err(CycleError::Superseded { by: later.instance, term: later.term });
        }
        term.claimed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Within the transaction, under the lock: whether the claim still stands. A ledger that was never
    /// written, or is kept in a file, knows of no claim.
    pub(super) async fn check_claim(&self, client: &Client, ledger: &Ledger) -> Result<(), CycleError> {
        let Some(term) = &self.term else { return Ok(()) };
        match ledger.holder(client).await? {
            Some(found) if found.instance != term.instance => {
                Err(CycleError::Superseded { by: found.instance, term: found.term })
            }
            _ => Ok(()),
        }
    }

    /// What signs what is done.
    pub(super) fn own_claim(&self) -> Option<Claim> {
        self.term.as_ref().map(Term::claim)
    }
}
