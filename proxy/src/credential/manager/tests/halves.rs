//! Logins that are granted and cannot be used: what came with them is kept.

use super::*;

/// The first logins are granted, and break off before they have more than the next refresh token.
struct Breaking(Arc<Provider>, AtomicU32);

impl Login for Breaking {
    fn is_alive(&self) -> bool {
        true
    }

    fn login<'a>(
        &'a self,
        grant: &'a Arc<Grant>,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Session, LoginFailed>> + Send + 'a>> {
        Box::pin(async move {
            let mut session = self.0.login(grant, deadline).await?;
            let less = |left: u32| left.checked_sub(1);
            if self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                session.fields.retain(|name, _| name == REFRESH_TOKEN);
                session.lacks = Some("its login broke off".to_owned());
            }
            Ok(session)
        })
    }
}

fn breaking(manager: &Manager, provider: &Arc<Provider>) {
    manager.add_login(Arc::new(Breaking(Arc::clone(provider), AtomicU32::new(1))));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_breaks_off_is_made_again_with_what_it_has_won() {
    let (store, provider) = (memory(), Arc::new(Provider::default()));
    let manager = mortal(&store, &provider);
    breaking(&manager, &provider);
    let fault = manager.current(soon()).await.unwrap_err();
    assert!(fault.kind == FaultKind::CredentialDead && fault.message.contains("broke off"), "{fault}");
    assert_eq!(manager.status().state(), "insufficient");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        (token(&manager).await.as_str(), provider.seen()),
        ("at-2", vec!["seed".into(), "rt-1".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_goes_on_to_its_end_when_a_login_breaks_off() {
    let (store, provider) = (memory(), Arc::new(Provider::default()));
    let manager = mortal(&store, &provider);
    assert_eq!(token(&manager).await, "at-1");
    breaking(&manager, &provider);
    for _ in 0..58 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let token = token(&manager).await;
        assert!(token == "at-1" || token == "at-3", "{token}");
    }
    assert_eq!(token(&manager).await, "at-3");
    assert_eq!(provider.seen(), ["seed", "rt-1", "rt-2"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_new_to_what_could_not_be_used_tries_once() {
    for is_restart in [false, true] {
        let (store, provider) = (memory(), Arc::new(Provider::default()));
        let first = mortal(&store, &provider);
        breaking(&first, &provider);
        first.current(soon()).await.unwrap_err();
        let next = if is_restart { mortal(&store, &provider) } else { first };
        next.add_login(Arc::clone(&provider) as Arc<dyn Login>);
        next.open();
        tokio::time::sleep(TAKES * 2).await;
        assert_eq!(token(&next).await, "at-2");
        assert_eq!(provider.seen(), ["seed", "rt-1"]);
    }
}
