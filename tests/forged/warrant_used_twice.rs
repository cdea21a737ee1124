use quarterdeck::{executor::{Executor, Sink}, storage::Warrant};
use tokio_util::sync::CancellationToken;

pub async fn two_runs(executor: &Executor, warrant: Warrant, sink: &dyn Sink) {
    executor.run(warrant, None, CancellationToken::new(), sink).await;
    executor.run(warrant, None, CancellationToken::new(), sink).await;
}
