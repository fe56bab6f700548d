//! Rules about where callbacks post to.

use ureq::http::Uri;

use crate::hosts::{self, Hosts};
use crate::job::CallbackAction;
use crate::lint::scene::{Found, Scene};
use crate::manifest::Spanned;
use crate::value::Value;

/// An address that is not on the open internet. Of a name nothing is said: who knows where it leads.
pub(super) fn refused(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (callback, written) in scene.callbacks() {
        let CallbackAction::Post { url, .. } = &callback.action else { continue };
        let Some(Value::Str(url)) = url.constant() else { continue };
        let host = url.parse().ok().and_then(|url: Uri| url.host().map(str::to_owned));
        let Some(host) = host else { continue };
        let refusal = hosts::literal(&host).and_then(|it| Hosts::default().refusal(it));
        if let Some(refusal) = refusal {
            let message = format!("{refusal}, where no post goes unless the run allows it");
            let url = written.post.as_deref().and_then(|post| post.url.as_deref());
            found.add(message, |it| {
                it.at(url.and_then(Spanned::range))
                    .hint(format!("run the job with --allow-host {host}"))
            });
        }
    }
}
