//! The permit of a call's first request, obtained before there is a sandbox: a call that waits is small, a sandbox that waits is not.
//!
//! The tool names its first operation; what the guest then asks for first is compared with it. If it is another request, the permit is given back before
//! anything else is waited for.

use std::sync::Arc;

use super::Egress;
use super::account::core::Request;
use super::account::{Account, Leave};
use super::operation::Operation;
use super::options::argument_text;
use super::scope::Scope;
use super::sending::{Claim, Sending};
use crate::fault::Fault;

/// Leave for a request that is still to be made. Dropping it gives it back.
#[derive(Debug)]
pub struct First {
    account: Arc<Account>,
    asked: Request,
    leave: Leave,
}

impl First {
    /// The leave, if it is for that request.
    pub fn leave_for(self, account: &Arc<Account>, request: &Request) -> Option<Leave> {
        let same = Arc::ptr_eq(&self.account, account)
            && self.asked.operation == request.operation
            && self.asked.resource == request.resource
            && self.asked.cost == request.cost
            && self.asked.kind == request.kind;
        same.then_some(self.leave)
    }
}

impl Egress {
    /// Waits for the permit of the operation that a call begins with. None if the manifest has several of that label, or the call resumes another:
    /// then it depends on what the guest asks for, and whether with a key by which the system knows that it is the same once more.
    pub async fn enter_first(&self, scope: &Scope, label: &str) -> Result<Option<First>, Fault> {
        let operation = self.operations.only(label).filter(|_| !scope.resumes);
        let Some(operation) = operation else { return Ok(None) };
        let account = self.account(&operation.upstream)?;
        let mut sending = Sending::new(account, &self.connector, scope, first_claim(operation, scope));
        let leave = sending.enter(scope).await?;
        Ok(Some(First { account: Arc::clone(account), asked: sending.asks, leave }))
    }

    /// The walls before the operation that calls begin with, and the operation; none where that depends on what the guest asks for.
    pub fn first_walls(&self, label: &str) -> Option<(&Arc<Account>, &Operation)> {
        let operation = self.operations.only(label)?;
        Some((self.account(&operation.upstream).ok()?, operation))
    }

    /// What the permit of that operation is about, for a call with these arguments.
    pub fn first_resource(&self, label: &str, arguments: &str) -> Option<Arc<str>> {
        let per = self.operations.only(label)?.per.as_deref()?;
        argument_text(&serde_json::from_str(arguments).ok()?, per)
    }
}

fn first_claim(operation: &Operation, scope: &Scope) -> Claim {
    Claim {
        operation: Arc::clone(&operation.label),
        resource: operation.per.as_deref().and_then(|per| scope.argument(per)),
        cost: operation.cost,
        effect: operation.effect,
        keyed: false,
        bytes: 0,
    }
}
