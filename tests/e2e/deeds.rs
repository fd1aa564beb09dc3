//! The probe's tools. One that no test tries does not compile here (a variant that is never made), and one that is missing
//! here fails a test.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::mcp::Outcome;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use serde_json::Value;

macro_rules! deeds {
    ($($deed:ident = $name:literal),+ $(,)?) => {
        #[deny(dead_code)]
        #[derive(Clone, Copy, Debug)]
        pub enum Deed {
            $($deed),+
        }

        /// By name, so that this is no use of them.
        const NAMES: &[&str] = &[$($name),+];

        impl Deed {
            pub fn tool(self) -> String {
                let name = match self { $(Self::$deed => $name),+ };
                format!("probe_{name}")
            }
        }
    };
}

deeds! {
    Read = "read",
    Collect = "collect",
    Lookup = "lookup",
    Write = "write",
    Spin = "spin",
    Grow = "grow",
    Trap = "trap",
    Chatter = "chatter",
    Overflow = "overflow",
    Nonsense = "nonsense",
    WrongShape = "wrong_shape",
    Usurp = "usurp",
    SecretInBody = "secret_in_body",
    SecretInHeader = "secret_in_header",
    SecretElsewhere = "secret_elsewhere",
    Digest = "digest",
    Vouch = "vouch",
    Blab = "blab",
    Stray = "stray",
    Undeclared = "undeclared",
    Stronger = "stronger",
    Remember = "remember",
    Edition = "edition",
    Descend = "descend",
    Mutter = "mutter",
    Complain = "complain",
    Path = "path",
    Header = "header",
    Invent = "invent",
    Disguise = "disguise",
    Unsettled = "unsettled",
    Leak = "leak",
    Hoard = "hoard",
    ForWhom = "for_whom",
    Say = "say",
    SayPromised = "say_promised",
    Bare = "bare",
    Ask = "ask",
    WriteThenAsk = "write_then_ask",
    Keyed = "keyed",
    Advance = "advance",
    Flood = "flood",
}

impl Deed {
    /// Has it done by a connector `probe`.
    pub async fn call(self, ferrata: &Ferrata, arguments: Value) -> Outcome {
        ferrata.mcp().call(&self.tool(), arguments).await.unwrap()
    }
}

#[tokio::test]
async fn every_misdeed_of_the_probe_is_known_here() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup.connector("probe", connector);
    setup.write().unwrap();
    let listed = cli(setup.folder(), ["tools"]).await.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let words = listed.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let mut offered: Vec<_> = words.filter_map(|word| word.strip_prefix("probe_")).collect();
    let mut known = NAMES.to_vec();
    offered.sort_unstable();
    offered.dedup();
    known.sort_unstable();
    assert_eq!(offered, known, "{listed}");
}
