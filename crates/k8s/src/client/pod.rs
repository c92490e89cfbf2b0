//! Pages of programs that run in pods, by way of the API server.

use tokio::time::timeout;

use super::{ANSWER_TIMEOUT, Api, Client, Error, ObjectName, Verb, request::subject};

/// What the right is called to ask a pod by way of the API server.
const PROXY: Api = Api {
    group: "",
    version: "v1",
    kind: "the page of Pod",
    resource: "pods/proxy",
    namespaced: true,
};

impl Client {
    /// What the program in a pod answers at this port and path.
    pub async fn pod_page(&self, pod: &ObjectName, port: u16, path: &str) -> Result<String, Error> {
        let subject = subject(Verb::Get, PROXY, pod.clone());
        let ObjectName { namespace, name } = pod;
        let uri = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy{path}");
        let request = http::Request::get(uri).body(Vec::new());
        let request = request.map_err(|error| Error::Invalid {
            subject: Box::new(subject.clone()),
            found: vec![(String::new(), error.to_string())],
        })?;
        match timeout(ANSWER_TIMEOUT, self.inner.request_text(request)).await {
            Ok(answer) => answer.map_err(|error| Error::new(self, &subject, error)),
            Err(_) => Err(self.silent(ANSWER_TIMEOUT)),
        }
    }
}
