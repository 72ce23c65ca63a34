//! What is wrong with how α acts in a search, and with what of it goes together.

use super::SearchSettings;
use crate::schedule::Unit;
use crate::search::Order;
use crate::space::{Candidates, Operation, OperationKind};
use crate::supernet::Relaxation;

/// The first impossible value, as its key and what would be right.
pub(super) fn check_mixing(search: &SearchSettings, candidates: &Candidates) -> Result<(), (String, String)> {
    let fault = |key: &str, message: String| Err((format!("search.{key}"), message));
    if let Some((key, message)) = search.relaxation.fault() {
        return fault(&format!("relaxation.{key}"), message);
    }
    let share = search.relaxation.share();
    if !search.channels.is_multiple_of(share) {
        let nearest = [search.channels / share * share, search.channels.div_ceil(share) * share];
        let channels = nearest.map(|channels| channels.to_string());
        let shares = (2..=search.channels).filter(|share| search.channels.is_multiple_of(*share));
        let shares: Vec<_> = shares.map(|share| share.to_string()).collect();
        let message = format!(
            "is {share}, which does not divide search.channels = {}; let search.channels be {}{}",
            search.channels,
            if nearest[0] == 0 { channels[1].clone() } else { channels.join(" or ") },
            match shares.is_empty() {
                true => String::new(),
                false => format!(", or search.relaxation.share {}", shares.join(" or ")),
            },
        );
        return fault("relaxation.share", message);
    }
    for (key, value) in [("beta_decay", search.beta_decay), ("auxiliary_skip", search.auxiliary_skip)] {
        if !(value.is_finite() && value >= 0.0) {
            return fault(key, format!("must be at least 0 and finite, not {value}"));
        }
    }
    let draws = matches!(search.relaxation, Relaxation::GumbelHard { .. });
    if draws && search.order == Order::Second {
        let message = "is second, which looks through a step of weights that mostly were not drawn; with the relaxation \
                       gumbel_hard it must be first";
        return fault("order", message.to_owned());
    }
    if search.auxiliary_skip > 0.0 {
        if search.schedule.unit() == Unit::Operation {
            let message = "must be 0 where operations are decided (search.schedule.unit): it stands beside every edge's \
                           skip_connect, which may be the first to go";
            return fault("auxiliary_skip", message.to_owned());
        }
        if share > 1 {
            let message = "must be 0 with the relaxation partial, where most channels pass every edge by as it is";
            return fault("auxiliary_skip", message.to_owned());
        }
        if draws {
            let message = "must be 0 with the relaxation gumbel_hard, which computes the drawn operation alone";
            return fault("auxiliary_skip", message.to_owned());
        }
        for &kind in candidates.space.kinds() {
            let lacks = |operations: &Vec<&'static Operation>| {
                operations.iter().all(|operation| operation.kind != OperationKind::Skip)
            };
            if let Some(edge) = candidates.edges(kind).iter().position(lacks) {
                let message = format!(
                    "must be 0 here: it stands beside every edge's skip_connect, which edge {edge} of the {kind} cell \
                     cannot have in this space or with these space.operations"
                );
                return fault("auxiliary_skip", message);
            }
        }
    }
    Ok(())
}
