//! A real Kubernetes API server, for the tests of what Rolewright does in a cluster: etcd and
//! kube-apiserver as they are, nothing in their place. There is no controller-manager, so nobody
//! deletes a namespace, collects garbage or makes default ServiceAccounts; nothing here needs it.
//!
//! ```text
//!   ApiServer::shared() ── one for the process; ApiServer::start() ── a test's own, to stop and kill
//!        │ namespace()
//!        ▼
//!   Namespace ── configmap, secret, annotate ──► what Rolewright reads
//!        │   └── status, events, lease ◄──────── what Rolewright writes, searched for secrets
//!        │   └── calls ◄──────────────────────── what it asked of the API server, from the audit log
//!        │ service_account(least_rights(…))
//!        ▼
//!   ServiceAccount (a Kubeconfig with a token file, under exactly these rules)
//!        ▼
//!   Rolewright::in_cluster(&cluster, &namespace, &account)
//! ```

mod api_client;
mod api_server;
mod kubeconfig;
mod namespace;
mod reports;
mod rights;

pub use api_client::ApiClient;
pub use api_server::ApiServer;
pub use kubeconfig::{Kubeconfig, ServiceAccount};
pub use namespace::{Call, Namespace};
pub use reports::{Condition, Event, Lease, Status};
pub use rights::{Secrets, least_rights, with_one_right_less};
