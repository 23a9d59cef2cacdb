//! Answers to `GET /info/<projectId>`, shared by concurrent requests.
//!
//! One query of the store answers all requests that wait for it. A long answer is also kept for
//! [`KEPT_FOR`], because it costs the store and this node most.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::ProjectId;
use tokio::sync::OnceCell;

use crate::node::errors::QueryError;
use crate::node::tasks::Tasks;

/// How long a long answer is kept. Numbers in an answer are at most 1 s old.
const KEPT_FOR: Duration = Duration::from_millis(500);

/// Answers of at least this many bytes are kept.
const LONG_BYTES: usize = 4096;

#[derive(Clone, Default)]
pub(super) struct InfoAnswers(Arc<Mutex<HashMap<ProjectId, Arc<OnceCell<Answer>>>>>);

type Answer = Result<Bytes, Arc<QueryError>>;

/// A user of a shared answer. The last one removes it.
struct Shared {
    answers: InfoAnswers,
    project: ProjectId,
    answer: Arc<OnceCell<Answer>>,
}

impl InfoAnswers {
    /// The answer for a project; `query` makes it unless another request does so already.
    pub(super) async fn get(
        &self,
        project: &ProjectId,
        tasks: &Tasks,
        query: impl Future<Output = Result<Bytes, QueryError>>,
    ) -> Answer {
        let shared = self.share(project);
        let mut is_new = false;
        let answer = shared.answer.get_or_init(async || {
            is_new = true;
            query.await.map_err(Arc::new)
        });
        let answer = answer.await.clone();
        if is_new && answer.as_ref().is_ok_and(|bytes| bytes.len() >= LONG_BYTES) {
            tasks.spawn_service(async move {
                tokio::time::sleep(KEPT_FOR).await;
                drop(shared);
            });
        }
        answer
    }

    fn share(&self, project: &ProjectId) -> Shared {
        let answer = self.lock().entry(project.clone()).or_default().clone();
        Shared { answers: self.clone(), project: project.clone(), answer }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProjectId, Arc<OnceCell<Answer>>>> {
        self.0.lock().expect("no code that holds the answers panics")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut answers = self.answers.lock();
        // The map holds one reference and this user the other. New users are added under the lock.
        if Arc::strong_count(&self.answer) == 2 {
            answers.remove(&self.project);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn answer_of(answers: &InfoAnswers, bytes: usize, queries: &AtomicUsize) -> usize {
        let project = ProjectId::new("p").unwrap();
        let query = async {
            queries.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(vec![b'x'; bytes].into())
        };
        answers.get(&project, &Tasks::default(), query).await.unwrap().len()
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_share_one_query_and_a_short_answer_is_not_kept() {
        let (answers, queries) = (InfoAnswers::default(), AtomicUsize::new(0));
        let ask = || answer_of(&answers, 10, &queries);
        assert_eq!(tokio::join!(ask(), ask(), ask()), (10, 10, 10));
        assert_eq!((queries.load(Ordering::Relaxed), answers.lock().len()), (1, 0));
        ask().await;
        assert_eq!(queries.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_answer_is_kept_for_a_moment_and_then_removed() {
        let (answers, queries) = (InfoAnswers::default(), AtomicUsize::new(0));
        for _ in 0..3 {
            assert_eq!(answer_of(&answers, LONG_BYTES, &queries).await, LONG_BYTES);
        }
        assert_eq!((queries.load(Ordering::Relaxed), answers.lock().len()), (1, 1));
        tokio::time::sleep(2 * KEPT_FOR).await;
        assert_eq!(answers.lock().len(), 0, "no request is needed for that");
    }
}
