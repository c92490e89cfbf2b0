mod bad;
mod forms;

use super::*;
