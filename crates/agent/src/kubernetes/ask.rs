//! The plugin's question who a new pod is, answered before the pod has its network.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tombolo_control::Troubles;
use tombolo_model::{
    id::Identity,
    local::{Failure, FailureCode, PodName, Request},
};

/// The plugin waits a little longer for its answer.
const PATIENCE: Duration = Duration::from_secs(12);

pub struct Question {
    pub pod: PodName,
    pub answer: oneshot::Sender<Identity>,
}

#[derive(Clone)]
pub struct Identifier {
    questions: mpsc::Sender<Question>,
    troubles: Troubles,
}

impl Identifier {
    pub fn new(questions: mpsc::Sender<Question>, troubles: Troubles) -> Identifier {
        Identifier {
            questions,
            troubles,
        }
    }

    /// A new pod of Kubernetes is given the identity of its labels. The runtime tries again what fails.
    pub async fn complete(&self, mut request: Request) -> Result<Request, Failure> {
        if let Request::EndpointCreate { pod, identity, .. } = &mut request
            && identity.is_none()
            && !pod.name.is_empty()
        {
            *identity = Some(self.identity(pod).await?);
        }
        Ok(request)
    }

    async fn identity(&self, pod: &PodName) -> Result<Identity, Failure> {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            pod: pod.clone(),
            answer,
        };
        let exchange = async {
            self.questions.send(question).await.ok()?;
            answered.await.ok()
        };
        if let Ok(Some(identity)) = timeout(PATIENCE, exchange).await {
            return Ok(identity);
        }
        let trouble = self.troubles.all().into_iter().next();
        Err(Failure {
            code: FailureCode::Unavailable,
            message: format!(
                "the labels or the identity of the pod {}/{} are not known yet",
                pod.namespace, pod.name
            ),
            hint: match trouble {
                Some((about, trouble)) => format!("{about}: {trouble}"),
                None => "the runtime tries again".into(),
            },
        })
    }
}
