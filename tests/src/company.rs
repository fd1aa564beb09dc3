//! Acme's order database: customers with the names that Acme's Slack talks about, and enough orders that a query without
//! an index is felt. The same in every run.

use std::io;

use ferrata_test_postgres::{HOST, Server};

pub const CUSTOMERS: u32 = 20_000;
pub const ORDERS: u32 = 400_000;

/// The role that Ferrata logs in as. It may read the tables, and nothing else.
pub const READER: &str = "agent_reader";
pub const READER_PASSWORD: &str = "only-ferrata-knows-this";

/// Orders have an index by customer and none by what is in the note. Numbers come from a hash instead of `random()`.
const TABLES: &str = "
create table customers (
  id integer primary key,
  name text not null,
  email text not null unique,
  region text not null,
  since date not null
);
create table orders (
  id bigint primary key,
  customer_id integer not null references customers,
  status text not null,
  total numeric(12, 2) not null,
  placed_at timestamptz not null,
  note text not null
);
comment on table orders is 'One row per order; status is open, shipped, delivered or returned.';
";

const NAMES: &str =
    "array['Globex', 'Initech', 'Umbrella', 'Hooli', 'Stark Industries', 'Wayne Enterprises', 'Wonka']";

/// Makes the tables, fills them and adds the reader's role. Takes about three seconds.
///
/// # Errors
/// When the server refuses a statement.
pub fn create(server: &Server) -> io::Result<()> {
    create_sized(server, CUSTOMERS, ORDERS)
}

/// The same with fewer rows, for tests that do not need them.
///
/// # Errors
/// As [`create`].
pub fn create_sized(server: &Server, customers: u32, orders: u32) -> io::Result<()> {
    let rows = format!(
        "
insert into customers
  select n, coalesce(({NAMES})[n], 'Customer ' || n), 'orders@customer-' || n || '.example',
         (array['north', 'east', 'south', 'west'])[1 + n % 4], date '2019-01-01' + n % 2000
  from generate_series(1, {customers}) n;
insert into orders
  select n, 1 + abs(hashint8(n)::bigint) % {customers},
         (array['open', 'shipped', 'delivered', 'delivered', 'delivered', 'returned'])[1 + abs(hashint8(n + 1)::bigint) % 6],
         10 + abs(hashint8(n + 2)::bigint) % 90000 / 100.0,
         timestamptz '2026-11-20 16:00:00+00' - n * interval '4 minutes',
         'order ' || n || ', packed by ' || (array['Anna', 'Ben', 'Carla', 'David'])[1 + n % 4]
  from generate_series(1, {orders}) n;
create index on orders (customer_id, placed_at desc);
create role {READER} login password '{READER_PASSWORD}';
grant select on customers, orders to {READER};
analyze;
"
    );
    server.execute(&format!("{TABLES}{rows}")).map(drop)
}

/// The upstream URL, without the credential.
pub fn url(server: &Server) -> String {
    format!("postgres://{HOST}:{}/{}", server.port(), ferrata_test_postgres::DATABASE)
}
