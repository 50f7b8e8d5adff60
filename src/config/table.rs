//! What a key is, and the macro that turns the one table into a struct, its defaults, its reader and `--help`.

/// What a key concerns; the order is that of `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Every run.
    Run,
    /// Every run: which images.
    Data,
    /// Every run: which network.
    Network,
    /// Every run: how weights move.
    Optimizer,
    /// Pre-training: how views are drawn.
    Views,
    /// Pre-training: which loss.
    Head,
    /// Evaluation.
    Evaluation,
    /// Every run: threads, processes, machines.
    Processes,
}

impl Group {
    /// The heading in `--help`.
    pub const fn title(self) -> &'static str {
        match self {
            Group::Run => "Run",
            Group::Data => "Data",
            Group::Network => "Network",
            Group::Optimizer => "Optimizer",
            Group::Views => "Views (pre-training)",
            Group::Head => "Head (pre-training)",
            Group::Evaluation => "Evaluation",
            Group::Processes => "Threads and processes",
        }
    }
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in files; as a flag `--name`.
    pub name: &'static str,
    /// Other names; one of a single letter is a short flag.
    pub aliases: &'static [&'static str],
    /// What it concerns.
    pub group: Group,
    /// What is accepted.
    pub accepts: &'static str,
    /// Whether the flag may stand without a value, which then is `true`.
    pub is_switch: bool,
    /// One line.
    pub doc: &'static str,
}

/// Makes `Config`, `KEYS` and the reader out of one table: `name | alias: type = default;` under a doc line.
macro_rules! keys {
    ($($group:ident { $(#[doc = $doc:literal] $name:ident $(| $alias:ident)* : $type:ty = $default:expr;)+ })+) => {
        /// Every key with its value; see [`KEYS`] for what each means.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config { $($(#[doc = $doc] pub $name: $type,)+)+ }

        impl Default for Config {
            fn default() -> Self {
                Self { $($($name: $default,)+)+ }
            }
        }

        /// The table of keys, in the order of `--help` and of the resolved file.
        pub const KEYS: &[Key] = &[$($(Key {
            name: stringify!($name),
            aliases: &[$(stringify!($alias)),*],
            group: Group::$group,
            accepts: <$type as Value>::ACCEPTS,
            is_switch: <$type as Value>::IS_SWITCH,
            doc: $doc,
        },)+)+];

        impl Config {
            /// Sets `key` from `text`; false where the text is not of the key's type or there is no such key.
            pub(super) fn set(&mut self, key: &str, text: &str) -> bool {
                match key {
                    $($(stringify!($name) => <$type as Value>::parse(text).map(|value| self.$name = value).is_some(),)+)+
                    _ => false,
                }
            }

            /// Sets the known `key` to its default.
            pub(super) fn reset(&mut self, key: &str) {
                match key {
                    $($(stringify!($name) => self.$name = $default,)+)+
                    _ => {}
                }
            }

            /// All keys and their values as YAML, in the table's order.
            pub fn entries(&self) -> Vec<(&'static str, String)> {
                vec![$($((stringify!($name), Value::show(&self.$name)),)+)+]
            }
        }
    };
}
pub(super) use keys;
