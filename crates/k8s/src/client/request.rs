//! Single questions and single writes.

use kube::{
    api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions},
    core::{Request, request},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use tokio::time::timeout;

use super::{ANSWER_TIMEOUT, Api, Client, Error, Item, ObjectName, Selection, Subject, Verb};
use crate::object::shorten;

/// Who changes fields, in the words of server-side apply.
pub const MANAGER: &str = "tombolo";
/// Objects of one answer. Kubernetes' own clients ask for as many.
pub(super) const PAGE: u32 = 500;

/// What is no object, but asked for.
const VERSION: Api = Api {
    group: "",
    version: "v1",
    kind: "version",
    resource: "version",
    namespaced: false,
};

type HttpRequest = http::Request<Vec<u8>>;

/// A part of a list, and where the next one begins.
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) rejects: Vec<crate::Reject>,
    pub(super) version: String,
    pub(super) continue_token: Option<String>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: Option<String>,
}

impl Client {
    /// The server's version, like `v1.34.4`: whether there is one at all, and whether it takes us in.
    pub async fn version(&self) -> Result<String, Error> {
        let subject = subject(Verb::Get, VERSION, ObjectName::default());
        match timeout(ANSWER_TIMEOUT, self.inner.apiserver_version()).await {
            Ok(Ok(version)) => Ok(shorten(&version.git_version)),
            Ok(Err(error)) => Err(Error::new(self, &subject, error)),
            Err(_) => Err(self.silent(ANSWER_TIMEOUT)),
        }
    }

    /// None if it is not there.
    pub async fn get(&self, api: Api, name: &ObjectName) -> Result<Option<Item>, Error> {
        let subject = subject(Verb::Get, api, name.clone());
        let request = of(api, name).get(&name.name, &GetParams::default());
        match self.ask(&subject, request).await {
            Ok(text) => item(subject, text).map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All there are at one time, page by page.
    pub async fn list(&self, selection: &Selection) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        let mut next = None;
        loop {
            let page = self.page(selection, next.as_deref()).await?;
            items.extend(page.items);
            next = page.continue_token;
            if next.is_none() {
                return Ok(items);
            }
        }
    }

    pub(super) async fn page(
        &self,
        selection: &Selection,
        continue_token: Option<&str>,
    ) -> Result<Page, Error> {
        let api = selection.api;
        let subject = subject(Verb::List, api, selection.name());
        let request = Request::new(selection.path()).list(&selection.list(PAGE, continue_token));
        let text = self.ask(&subject, request).await?;
        let list: List = serde_json::from_str(&text).map_err(|error| Error::Answer {
            subject: Box::new(subject),
            reason: error.to_string(),
        })?;
        let mut page = Page {
            items: Vec::new(),
            rejects: Vec::new(),
            version: list.metadata.resource_version,
            continue_token: list.metadata.continue_token.filter(|it| !it.is_empty()),
        };
        for item in list.items.unwrap_or_default() {
            match Item::new(api.kind, item) {
                Ok(item) => page.items.push(item),
                Err(reject) => page.rejects.push(reject),
            }
        }
        Ok(page)
    }

    /// The object says its own name. It comes back as it is now.
    pub async fn create(
        &self,
        api: Api,
        namespace: &str,
        object: &impl Serialize,
    ) -> Result<Item, Error> {
        let body = body(object);
        let name = api.name(namespace, &name_in(&body));
        let subject = subject(Verb::Create, api, name);
        let request = Request::new(api.path(namespace)).create(&writer(), body);
        let text = self.ask(&subject, request).await?;
        item(subject, text)
    }

    /// Replaces the whole. An object that says its version is replaced only while it still has that one.
    pub async fn replace(
        &self,
        api: Api,
        name: &ObjectName,
        object: &impl Serialize,
    ) -> Result<Item, Error> {
        let subject = subject(Verb::Update, api, name.clone());
        let request = of(api, name).replace(&name.name, &writer(), body(object));
        let text = self.ask(&subject, request).await?;
        item(subject, text)
    }

    /// Changes what the patch says and nothing else; null takes away.
    pub async fn patch(
        &self,
        api: Api,
        name: &ObjectName,
        patch: &impl Serialize,
    ) -> Result<Item, Error> {
        let subject = subject(Verb::Patch, api, name.clone());
        let request =
            of(api, name).patch(&name.name, &PatchParams::default(), &Patch::Merge(patch));
        let text = self.ask(&subject, request).await?;
        item(subject, text)
    }

    /// Changes what is said of the object's status, of a kind that keeps it apart. Lists are replaced as a whole.
    pub async fn patch_status(
        &self,
        api: Api,
        name: &ObjectName,
        status: &impl Serialize,
    ) -> Result<Item, Error> {
        let subject = subject(Verb::Patch, api, name.clone());
        let patch = Patch::Merge(json!({ "status": status }));
        let request =
            of(api, name).patch_subresource("status", &name.name, &PatchParams::default(), &patch);
        let text = self.ask(&subject, request).await?;
        item(subject, text)
    }

    /// Says what `manager` has to say of the object's status, of a kind that keeps it apart: what it said before and says
    /// no more goes, what others say stays. Lists of conditions are joined by their types.
    pub async fn apply_status(
        &self,
        api: Api,
        name: &ObjectName,
        manager: &str,
        status: &impl Serialize,
    ) -> Result<Item, Error> {
        let subject = subject(Verb::Patch, api, name.clone());
        let params = PatchParams::apply(manager).force();
        let object = json!({
            "apiVersion": api.api_version(),
            "kind": api.kind,
            "metadata": {"name": name.name},
            "status": status,
        });
        let patch = Patch::Apply(object);
        let request = of(api, name).patch_subresource("status", &name.name, &params, &patch);
        let text = self.ask(&subject, request).await?;
        item(subject, text)
    }

    /// Makes it so, whether it is there or not: what we said before and say no more goes, what others say stays. Where
    /// others say otherwise, we win.
    pub async fn apply(
        &self,
        api: Api,
        name: &ObjectName,
        object: &impl Serialize,
    ) -> Result<Item, Error> {
        self.apply_by(api, name, PatchParams::apply(MANAGER).force(), object)
            .await
    }

    /// Makes what is not there. Where it is, and another manager has said otherwise, that stays and there is a conflict. In
    /// contrast to `create`, a server does not wait for two seconds with it after the kind was defined.
    pub async fn make(
        &self,
        api: Api,
        name: &ObjectName,
        manager: &str,
        object: &impl Serialize,
    ) -> Result<Item, Error> {
        self.apply_by(api, name, PatchParams::apply(manager), object)
            .await
    }

    async fn apply_by(
        &self,
        api: Api,
        name: &ObjectName,
        params: PatchParams,
        object: &impl Serialize,
    ) -> Result<Item, Error> {
        let subject = subject(Verb::Patch, api, name.clone());
        let request = of(api, name).patch(&name.name, &params, &Patch::Apply(object));
        let text = self.ask(&subject, request).await?;
        item(subject, text)
    }

    /// Only the very object of this uid, where one is given. False if it is not there.
    pub async fn delete(
        &self,
        api: Api,
        name: &ObjectName,
        uid: Option<&str>,
    ) -> Result<bool, Error> {
        let params = DeleteParams {
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        self.delete_with(api, name, &params).await
    }

    /// Only while it has this version. False if it is not there.
    pub async fn delete_version(
        &self,
        api: Api,
        name: &ObjectName,
        version: &str,
    ) -> Result<bool, Error> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: None,
                resource_version: Some(version.to_owned()),
            }),
            ..DeleteParams::default()
        };
        self.delete_with(api, name, &params).await
    }

    async fn delete_with(
        &self,
        api: Api,
        name: &ObjectName,
        params: &DeleteParams,
    ) -> Result<bool, Error> {
        let subject = subject(Verb::Delete, api, name.clone());
        let request = of(api, name).delete(&name.name, params);
        match self.ask(&subject, request).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        subject: &Subject,
        request: Result<HttpRequest, request::Error>,
    ) -> Result<String, Error> {
        let request = built(subject, request)?;
        match timeout(ANSWER_TIMEOUT, self.inner.request_text(request)).await {
            Ok(answer) => answer.map_err(|error| Error::new(self, subject, error)),
            Err(_) => Err(self.silent(ANSWER_TIMEOUT)),
        }
    }

    pub(super) fn silent(&self, waited: std::time::Duration) -> Error {
        Error::Unreachable {
            server: self.server().to_owned(),
            whom: self.whom().to_owned(),
            reason: format!("nothing came for {} s", waited.as_secs()),
        }
    }
}

pub(super) fn subject(verb: Verb, api: Api, name: ObjectName) -> Subject {
    Subject { verb, api, name }
}

pub(super) fn built(
    subject: &Subject,
    request: Result<HttpRequest, request::Error>,
) -> Result<HttpRequest, Error> {
    request.map_err(|error| Error::Invalid {
        subject: Box::new(subject.clone()),
        found: vec![(String::new(), error.to_string())],
    })
}

fn of(api: Api, name: &ObjectName) -> Request {
    Request::new(api.path(&name.namespace))
}

fn item(subject: Subject, text: String) -> Result<Item, Error> {
    let item = RawValue::from_string(text)
        .map_err(|error| error.to_string())
        .and_then(|text| Item::new(subject.api.kind, text).map_err(|reject| reject.to_string()));
    item.map_err(|reason| Error::Answer {
        subject: Box::new(subject),
        reason,
    })
}

fn writer() -> PostParams {
    PostParams {
        dry_run: false,
        field_manager: Some(MANAGER.into()),
    }
}

fn body(object: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(object).expect("objects of ours are JSON")
}

/// For errors: an object that is to be generated a name has none yet.
fn name_in(body: &[u8]) -> String {
    let head: crate::object::Head = serde_json::from_slice(body).unwrap_or_default();
    head.metadata.name
}
