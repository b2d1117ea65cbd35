"""What a recommendation says. The sentences about a plan of several models are here too."""

from __future__ import annotations

from whichpu.reports.prose.messages import said

said(
    "advice.pick-lowest",
    "{contender} is the pick: of the {count:number} that can be ranked it has the lowest {key:metric}, "
    "{value:figure}; next is {other} with {others:figure}.",
)
said(
    "advice.pick-lowest-ratio",
    "{contender} is the pick: of the {count:number} that can be ranked it has the lowest {key:metric}, "
    "{value:figure}; next is {other} with {others:figure}, {ratio:ratio} times as much.",
)
said(
    "advice.pick-highest",
    "{contender} is the pick: of the {count:number} that can be ranked it has the highest {key:metric}, "
    "{value:figure}; next is {other} with {others:figure}.",
)
said(
    "advice.pick-highest-ratio",
    "{contender} is the pick: of the {count:number} that can be ranked it has the highest {key:metric}, "
    "{value:figure}, {ratio:ratio} times that of the next, {other} ({others:figure}).",
)
said(
    "advice.pick-only",
    "{contender} is the pick: it is the only one that can be ranked by {key:metric} ({value:figure}).",
)
said(
    "advice.pick-only-limits",
    "{contender} is the pick: it is the only one within the limits that can be ranked by {key:metric} "
    "({value:figure}).",
)
said(
    "advice.pick-tied",
    "{contender} is the pick by its figures as they stand ({key:metric} {value:figure}), but no "
    "difference is shown to {names:list}: a tie.",
)
said(
    "advice.pick-by",
    "{contender} is the pick: by {key:metric} ({value:figure}) no difference is shown to {names:list}, "
    "and it is shown better by {decider:metric}, {deciding:figure}.",
)
said(
    "advice.within-surely",
    "{contender} keeps the limit on {key:metric} ({side:label} {bound:figure}): {value:figure}, with all "
    "of its 95 % interval.",
)
said(
    "advice.within-probably",
    "{contender} probably keeps the limit on {key:metric} ({side:label} {bound:figure}): {value:figure}, "
    "but its 95 % interval reaches beyond (probability to keep it: {chance:percent}).",
)
said(
    "advice.within-exactly",
    "{contender} keeps the limit on {key:metric} ({side:label} {bound:figure}): {value:figure}.",
)
said(
    "advice.within-figure",
    "{contender} keeps the limit on {key:metric} ({side:label} {bound:figure}) by its figure, "
    "{value:figure}, which has no interval.",
)
said(
    "advice.within-unknown",
    "{contender} has no figure for the limit on {key:metric} ({side:label} {bound:figure}) and was let in"
    " by your wish.",
)
said(
    "advice.chance",
    "The probability that {contender} is the best by {key:metric} within the limits, given the intervals,"
    " is {chance:percent}.",
)
said(
    "advice.chance-plain",
    "The probability that {contender} is the best by {key:metric}, given the intervals, is {chance:percent}.",
)
said(
    "advice.chance-unknown",
    "How probable it is to be the best can't be said: {key:metric} has no interval for {names:list}.",
)
said(
    "advice.none-objective",
    "Nothing can be recommended: no contender tells {key:metric}.",
)
said(
    "advice.none-fits",
    "Nothing can be recommended: none of the {count:number} contenders can be shown to keep all limits and be ranked.",
)
said(
    "advice.none-ranked",
    "Nothing can be recommended: none of the {count:number} contenders can be ranked.",
)
said(
    "advice.out-limit",
    "{contender} is out: its {key:metric} is {value:figure}, and the limit is {side:label} {bound:figure}.",
)
said(
    "advice.out-probably",
    "{contender} is out by its figure: its {key:metric} is {value:figure}, and the limit is {side:label} "
    "{bound:figure}; its interval reaches within (probability to keep it: {chance:percent}).",
)
said(
    "advice.out-not-sure",
    "{contender} is out: its {key:metric}, {value:figure}, keeps the limit ({side:label} {bound:figure}),"
    " but no interval shows that it surely does.",
)
said(
    "advice.out-unknown",
    "{contender} can't be shown to keep the limit on {key:metric}: {why}.",
)
said(
    "advice.out-objective",
    "{contender} can't be ranked by {key:metric}: {why}.",
)
said(
    "advice.out-apart",
    "{contender} can't be held against {other} by {key:metric}: {why}.",
)
said(
    "advice.out-more",
    "{count:number} more are out for the same reason ({key:metric}).",
)
said(
    "advice.estimated",
    "The figures of {contender} are estimates by {tool}, not measurements.",
)
said(
    "advice.two-files",
    "{contender} and {other} were not measured side by side: they are from two files, or two machines.",
)
said(
    "advice.scopes",
    "The limit on {key:metric} is held against figures that cover different things: {scopes:list}.",
)
said(
    "advice.scope-untold",
    "What the {key:metric} of {names:list} covers is not told.",
)
said(
    "advice.doubt",
    "A doubt about {contender}: {doubt}",
)
said(
    "advice.relax",
    "Relax the limit on {key:metric} from {side:label} {old:figure} to {side:label} {bound:figure}: "
    "{contender} then fits.",
)
said(
    "advice.relax-share",
    "Relax the limit on {key:metric} from {side:label} {old:figure} to {side:label} {bound:figure}, by "
    "{share:percent}: {contender} then fits.",
)
said(
    "advice.relax-joint",
    "Relax {several:list} at once: {contender} then fits.",
)
said(
    "advice.relax-part",
    "{key:metric} to {side:label} {bound:figure} (now {old:figure})",
)
said(
    "advice.measure",
    "Measure {keys:metrics} of {contender}: all other limits are kept.",
)
said(
    "advice.measure-and-relax",
    "{contender} would take both: a figure that is not known and a limit that it does not keep ({keys:metrics}).",
)
said(
    "advice.flip-limit",
    "{winner} would win if {key:metric} had to be {side:label} {bound:figure}: it has {value:figure}, "
    "{pick} {other:figure}.",
)
said(
    "advice.flip-relaxed",
    "{winner} would win if the limit on {key:metric} were {side:label} {bound:figure}.",
)
said(
    "advice.flip-objective",
    "{winner} would win if {key:metric} counted first: {value:figure}, against {other:figure} of {pick}.",
)
said(
    "advice.flip-figure",
    "{winner} would win if its {key:metric} were better than {needed:figure}; it is {value:figure}.",
)
said(
    "advice.flip-price",
    "{winner} would win if its price were below {needed:figure}; it is {value:figure}.",
)
said(
    "advice.models-same",
    "{contender} is the pick for all models: {models:list}.",
)
said(
    "advice.models-differ",
    "No one contender is the pick for all models: {models:list}.",
)
said(
    "advice.models-none",
    "Nothing can be recommended for any of the models: {models:list}.",
)
said(
    "assign.none",
    "The plan can't be met: no assignment keeps all limits.",
)
said(
    "assign.choice",
    "{model} runs on {unit} ({contender}): {rate:figure} at {value:figure} each ({key:metric}) is "
    "{load:percent} of its time; it could go up to {most:figure} there.",
)
said(
    "assign.unit",
    "{unit} is loaded to {load:number} of {capacity:number}: {slack:number} is left.",
)
said(
    "assign.power",
    "All units together draw {power:figure} at most.",
)
said(
    "assign.power-limit",
    "All units together draw {power:figure} at most: {slack:figure} is left of the limit of {limit:figure}.",
)
said(
    "assign.power-unknown",
    "The power can't be said: it is not known of {names:list}.",
)
said(
    "assign.no-idle",
    "The idle power of {units:list} was not given: the power while a model runs is taken for all of the time.",
)
said(
    "assign.out-limit",
    "{contender} is left out for {model}: it does not keep the limit on {key:metric}.",
)
said(
    "assign.out-unknown",
    "{contender} is left out for {model}: it can't be shown to keep the limit on {key:metric}: {why}.",
)
said(
    "assign.out-latency",
    "{contender} is left out for {model}: its time per inference is not known: {why}.",
)
said(
    "assign.out-rate",
    "{contender} is left out for {model}: it is too slow for {rate:figure} ({key:metric}).",
)
said(
    "assign.out-power",
    "{contender} is left out for {model}: power is limited, and its power is not known: {why}.",
)
said(
    "assign.relax-power",
    "Relax the limit on power from {old:figure} to {bound:figure}: the plan is then met.",
)
said(
    "assign.relax-speed",
    "Were {name} {bound:number} times as fast, the plan would be met.",
)
said(
    "assign.relax-rate",
    "Lower the rate of {name} from {old:figure} to {bound:figure}: the plan is then met.",
)
said(
    "assign.relax-rates",
    "Lower all rates to {bound:percent} of what the plan asks: it is then met.",
)
said(
    "assign.relax-joint",
    "All of these at once: {several:list}.",
)
said(
    "assign.part-power",
    "power up to {bound:figure} (now {old:figure})",
)
said(
    "assign.part-speed",
    "{name} {bound:number} times as fast",
)
