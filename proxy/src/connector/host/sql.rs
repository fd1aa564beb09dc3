//! `sql`: statements into `egress`, rows out of it.

use std::sync::Arc;

use super::fault::Tickets;
use super::{Guest, Run};
use crate::connector::bindings::{sql, types};
use crate::connector::convert::effect;
use crate::egress::Refusal;
use crate::egress::operation::Effect;
use crate::egress::options::Options;
use crate::egress::sending::Claim;
use crate::egress::sql::{Access, Query, SqlUpstream, Value};
use crate::egress::upstream::Upstream;
use crate::fault::Fault;

impl sql::Host for Guest {
    async fn query(&mut self, request: sql::Request) -> wasmtime::Result<Result<sql::Rows, types::Fault>> {
        let rows = self.run.statement(request, SqlUpstream::query).await;
        Ok(rows.map(to_guest).map_err(|fault| self.run.guest_view(fault)))
    }

    async fn explain(&mut self, request: sql::Request) -> wasmtime::Result<Result<String, types::Fault>> {
        let plan = self.run.statement(request, SqlUpstream::explain).await;
        Ok(plan.map_err(|fault| self.run.guest_view(fault)))
    }
}

impl Run {
    /// The stack for a statement: judged like a request, then limited, broken and timed at the same places (see `egress`).
    async fn statement<R>(
        &self,
        request: sql::Request,
        how: impl AsyncFn(&SqlUpstream, Query, crate::call::Deadline) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let runtime = &self.runtime;
        let _parked = self.park()?;
        let asked = effect(request.effect);
        let (operation, effect) = runtime
            .egress
            .judge_sql(&self.scope, &request.upstream, &request.operation, asked)
            .map_err(|refusal| runtime.egress.refuse(refusal))?;
        let Some(Upstream::Sql(upstream)) = runtime.egress.upstreams.get(&request.upstream) else {
            let why = format!("`{}` is not a granted upstream that speaks SQL", request.upstream);
            return Err(runtime.egress.refuse(Refusal::new("upstream", why)));
        };
        let options = Options::read(request.options.as_deref()).map_err(|r| runtime.egress.refuse(r))?;
        let claim = Claim {
            operation: Arc::clone(&operation.label),
            cost: operation.cost,
            effect,
            keyed: options.idempotent,
            bytes: request.statement.len(),
            resource: options.resource(operation, &self.scope),
        };
        let place = request.upstream.clone();
        let query = native(request, effect);
        let ran = runtime.egress.statement(&self.scope, (&place, upstream), claim, query, how).await;
        ran.map_err(|mut fault| {
            // It names a member of the guest's request, which the agent never saw.
            fault.path = None;
            fault
        })
    }
}

fn native(request: sql::Request, effect: Effect) -> Query {
    Query {
        statement: request.statement,
        parameters: request.parameters.into_iter().map(value).collect(),
        max_rows: request.max_rows,
        access: if effect == Effect::Read { Access::Read } else { Access::Write },
    }
}

fn value(value: sql::Value) -> Value {
    match value {
        sql::Value::Null => Value::Null,
        sql::Value::Boolean(v) => Value::Boolean(v),
        sql::Value::Integer(v) => Value::Integer(v),
        sql::Value::Float(v) => Value::Float(v),
        sql::Value::Text(v) => Value::Text(v),
        sql::Value::Json(v) => Value::Json(v),
        sql::Value::Bytes(v) => Value::Bytes(v),
    }
}

fn to_guest(rows: crate::egress::sql::Rows) -> sql::Rows {
    let complete = rows.is_complete();
    let column = |c: crate::egress::sql::Column| sql::Column { name: c.name, type_name: c.type_name };
    sql::Rows {
        columns: rows.columns.into_iter().map(column).collect(),
        rows: rows.rows,
        row_count: rows.row_count,
        complete,
        stopped_by: rows.stopped_by.map(|s| s.name().to_owned()),
        affected: rows.affected,
        estimated_cost: rows.estimated_cost,
    }
}
