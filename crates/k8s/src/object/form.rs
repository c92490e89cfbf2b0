//! Reading typed fields from JSON text or from a tree of values, with the path to whatever is wrong.

use std::{collections::BTreeMap, fmt, marker::PhantomData, net::IpAddr};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, value::RawValue};

/// What is wrong with an object, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Like `spec.ports[1].port`; empty for the object as a whole.
    pub(crate) path: String,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn new(path: impl Into<String>, reason: impl AsRef<str>) -> Fault {
        Fault {
            path: shorten(&path.into()),
            reason: shorten(reason.as_ref()),
        }
    }
}

/// An object in the form in which it came. It can be read more than once.
pub(crate) trait Source {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Fault>;
}

/// An object that may be a list of objects.
pub(crate) trait Document: Source + Sized {
    fn items(&self) -> Result<Vec<Self>, Fault>;
    fn is_object(&self) -> bool;
}

/// An object within JSON text.
pub(crate) struct Json<'a>(pub(crate) &'a RawValue);

/// The object of a watch event, within the event's line.
pub(crate) struct InLine<'a>(pub(crate) &'a [u8]);

/// An object that was YAML.
pub(crate) struct Tree<'a>(pub(crate) &'a Value);

impl Source for Json<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        read_json(self.0.get().as_bytes())
    }
}

impl Document for Json<'_> {
    fn items(&self) -> Result<Vec<Self>, Fault> {
        #[derive(Deserialize)]
        struct List<'a> {
            #[serde(borrow, default)]
            items: Option<Vec<&'a RawValue>>,
        }
        let list: List<'_> = serde_json::from_str(self.0.get())
            .map_err(|error| Fault::new("items", error.to_string()))?;
        Ok(list
            .items
            .unwrap_or_default()
            .into_iter()
            .map(Json)
            .collect())
    }

    fn is_object(&self) -> bool {
        self.0.get().starts_with('{')
    }
}

impl Source for InLine<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        #[derive(Deserialize)]
        struct Line<T> {
            object: T,
        }
        let line: Line<T> = read_json(self.0).map_err(|fault| Fault {
            path: fault.path.replacen("object.", "", 1),
            ..fault
        })?;
        Ok(line.object)
    }
}

impl Source for Tree<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(self.0).or_else(|_| serde_path_to_error::deserialize(self.0).map_err(fault))
    }
}

impl Document for Tree<'_> {
    fn items(&self) -> Result<Vec<Self>, Fault> {
        match self.0.get("items") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items.iter().map(Tree).collect()),
            Some(_) => Err(Fault::new("items", "it is not a list")),
        }
    }

    fn is_object(&self) -> bool {
        self.0.is_object()
    }
}

pub(crate) fn read_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Fault> {
    // Keeping track of the path costs as much as reading, so only what fails is read again with it.
    serde_json::from_slice(text).or_else(|_| {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        serde_path_to_error::deserialize(&mut deserializer).map_err(fault)
    })
}

fn fault(error: serde_path_to_error::Error<serde_json::Error>) -> Fault {
    let path = match error.path().to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    let reason = error.into_inner().to_string();
    // The place in the text says less than the path.
    let reason = match reason.rsplit_once(" at line ") {
        Some((reason, _)) if !path.is_empty() => reason,
        _ => &reason,
    };
    Fault::new(path, reason)
}

/// What others wrote, made fit for one line of a log or status: neither long nor able to steer a terminal.
pub(crate) fn shorten(text: &str) -> String {
    const LEN_MAX: usize = 200;
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(LEN_MAX).map(plain).collect();
    if text.chars().nth(LEN_MAX).is_some() {
        short.push('…');
    }
    short
}

/// Of a struct: serde takes a list for its fields in their order, and Kubernetes does not.
pub(crate) fn map<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Fields<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Fields(PhantomData))
}

pub(super) type Words = BTreeMap<String, String>;

/// For every field: absent and null mean the same.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// No address where there is none or an empty text.
pub(super) fn ip<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => parse_ip(text).map(Some).map_err(D::Error::custom),
    }
}

/// IPv4 addresses that are mapped into IPv6 are IPv4.
pub(super) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_canonical()),
        Err(_) => Err(format!("`{text}` is not an address")),
    }
}
