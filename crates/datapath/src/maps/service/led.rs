//! `SOCKET_FRONTENDS`, which the programs write: read by who ends sockets, beside the loop.

use crate::Error;
use aya::maps::{HashMap, Map, MapData};
use std::path::Path;
use tombolo_abi::{SocketFrontend, SocketKey};

const NAME: &str = "SOCKET_FRONTENDS";

pub fn sockets_led(folder: &Path) -> Result<HashMap<MapData, SocketKey, SocketFrontend>, Error> {
    let opening = Error::map(NAME, "opening");
    let data = MapData::from_pin(folder.join(NAME)).map_err(opening)?;
    HashMap::try_from(Map::LruHashMap(data)).map_err(Error::map(NAME, "opening"))
}
