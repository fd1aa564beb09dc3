//! The planner's estimate: asked for before a read runs, compared with the operator's cap, explained when it is above.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::types::Rows;
use crate::fault::{Fault, FaultKind, Outcome, quotable};

/// Options in parentheses end where the statement begins: a statement cannot add `ANALYZE` to them, and after them the
/// grammar takes a statement only.
const EXPLAIN: &str = "EXPLAIN (FORMAT JSON) ";

/// The statement that explains `statement`.
pub(super) fn explain(statement: &str) -> String {
    format!("{EXPLAIN}{statement}")
}

/// A position in the explaining statement, as one in the statement that was explained.
pub(super) fn shift_position(mut fault: Fault) -> Fault {
    let position = fault.details.as_mut().and_then(|details| details.get_mut("position"));
    if let Some(position) = position
        && let Some(number) = position.as_u64()
    {
        *position = Json::from(number.saturating_sub(EXPLAIN.len() as u64).max(1));
    }
    fault
}

/// The plan in the one row that `EXPLAIN` answers with.
pub(super) fn plan_of(rows: Rows) -> Result<String, Fault> {
    let plan = rows.rows.strip_prefix("[[").and_then(|text| text.strip_suffix("]]"));
    match plan {
        Some(plan) if rows.row_count == 1 => Ok(plan.to_owned()),
        _ => Err(Fault::new(
            FaultKind::SchemaMismatch,
            "The database explained the statement in an unknown shape.",
        )),
    }
}

#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: Node,
}

/// A node of a plan. Its cost includes that of the nodes below.
#[derive(Deserialize)]
struct Node {
    #[serde(rename = "Node Type")]
    kind: String,
    #[serde(rename = "Relation Name")]
    relation: Option<String>,
    #[serde(rename = "Total Cost")]
    cost: f64,
    #[serde(rename = "Plan Rows", default)]
    rows: f64,
    #[serde(rename = "Plans", default)]
    below: Vec<Node>,
}

impl Node {
    /// The node that reads a relation at the highest cost.
    fn dearest(&self) -> Option<&Self> {
        let own = self.relation.is_some().then_some(self);
        let all = own.into_iter().chain(self.below.iter().filter_map(Self::dearest));
        all.max_by(|a, b| a.cost.total_cmp(&b.cost))
    }

    fn summary(&self) -> Json {
        let mut summary = Map::new();
        summary.insert("node_type".to_owned(), quotable(&self.kind).into());
        if let Some(relation) = &self.relation {
            summary.insert("relation".to_owned(), quotable(relation).into());
        }
        summary.insert("estimated_cost".to_owned(), self.cost.into());
        summary.insert("estimated_rows".to_owned(), self.rows.into());
        Json::Object(summary)
    }
}

/// The estimate of a plan that is within the cap.
///
/// # Errors
/// `rejected`, with what makes the plan dear, when it is above.
pub(super) fn judge(plan: &str, max_cost: f64) -> Result<f64, Fault> {
    let explained: Vec<Explained> = serde_json::from_str(plan).unwrap_or_default();
    let Some(Explained { plan }) = explained.into_iter().next() else {
        let message = "The planner's estimate came in an unknown shape, so the statement did not run.";
        return Err(Fault::new(FaultKind::SchemaMismatch, message));
    };
    if plan.cost <= max_cost { Ok(plan.cost) } else { Err(too_dear(&plan, max_cost)) }
}

fn too_dear(plan: &Node, max_cost: f64) -> Fault {
    let dearest = plan.dearest();
    let mostly = dearest.map_or_else(String::new, |node| {
        let relation = quotable(node.relation.as_deref().unwrap_or_default());
        format!(" The dearest part is a {} of \"{relation}\" ({:.0} rows).", quotable(&node.kind), node.rows)
    });
    let message = format!(
        "The statement did not run: the planner estimates its cost at {:.0}, and the operator's cap is {max_cost:.0}.{mostly} \
         Filter by an indexed column, or ask for fewer rows with LIMIT, and try again.",
        plan.cost
    );
    let mut details = Map::new();
    details.insert("estimated_cost".to_owned(), plan.cost.into());
    details.insert("max_cost".to_owned(), json!(max_cost));
    details.insert("plan".to_owned(), plan.summary());
    if let Some(node) = dearest {
        details.insert("dearest".to_owned(), node.summary());
    }
    let mut fault =
        Fault::new(FaultKind::Rejected, message).with_code("too_expensive").with_outcome(Outcome::NotSent);
    fault.details = Some(details);
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"[{"Plan": {"Node Type": "Limit", "Total Cost": 900.5, "Plan Rows": 1, "Plans": [
        {"Node Type": "Seq Scan", "Relation Name": "small", "Total Cost": 10.0, "Plan Rows": 3},
        {"Node Type": "Seq Scan", "Relation Name": "orders", "Total Cost": 800.0, "Plan Rows": 400000}]}}]"#;

    #[test]
    fn a_dear_plan_is_refused_with_its_dearest_relation() {
        assert_eq!(judge(PLAN, 900.5).unwrap(), 900.5);
        let fault = judge(PLAN, 900.0).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Rejected);
        assert!(fault.message.contains("Seq Scan of \"orders\" (400000 rows)"), "{}", fault.message);
        let details = fault.details.clone().unwrap();
        assert_eq!(
            (&details["estimated_cost"], &details["plan"]["node_type"]),
            (&json!(900.5), &json!("Limit"))
        );
        assert_eq!(details["dearest"]["relation"], "orders");
    }

    #[test]
    fn what_is_not_a_plan_lets_nothing_run() {
        for plan in ["", "[]", "[{}]", r#"[{"Plan": {"Node Type": "Result"}}]"#] {
            assert_eq!(judge(plan, 1e9).unwrap_err().kind, FaultKind::SchemaMismatch, "{plan}");
        }
    }
}
