"""What each flag of a cost means, in one sentence."""

__all__ = ["FLAGS", "meaning"]

FLAGS = {
    "total_differs": "The vendor's total is not the sum of prompt and output; nothing explains the difference.",
    "unpriced_audio": "Audio tokens are at the price of text.",
    "unpriced_images": "An answer's images are at the price of text.",
    "clamped_usage": "Impossible counts were reduced to possible ones.",
    "impossible_usage": "The counts are impossible, and not priced.",
    "cache_write_assumed_5m": "Cache writes without a lifetime count as written for 5 minutes.",
    "cache_write_split_assumed": "The lifetimes of cache writes exceeded the writes, and were cut to fit.",
    "partial_usage": "The stream was cut short.",
    "billed_to_user_profile": "The request's `billing_policy` lets somebody else pay.",
    "unknown_price": "No price row has the model.",
    "estimated_usage": "The usage is an estimate, and not priced.",
    "list_price_differs": "The vendor's own bill is not the list price.",
    "logged_cost": "The cost in the log is used.",
    "logged_cost_differs": "The cost in the log is another one.",
    "cache_at_list_price": "The effect of caching uses the list price.",
    "unknown_time": "In a table: a row without a time, which has no price.",
    "no_usage": "In a table: a row without any count.",
    "fallback_credit": "A redeemed credit reprices writes by an unknown amount.",
    "impossible_bill": "The vendor's bill is not an amount.",
    "tier_unknown": "Prompts of several calls are added up, or exceed the window; another tier may apply.",
    "many_requests": "A sum of many requests, at the lowest tier.",
    "hours_unknown": "A sum of many requests, of a model with hours at other prices.",
    "iterations_differ": "The model calls of an answer do not add up to its own counts.",
    "other_model_at_plain_terms": "Another model made part of the answer; its part has the plain price.",
    "terms_combined": "A batch that is also fast or of another tier: no vendor documents the price.",
    "holidays_unknown": "The model has peak hours on working days, and no price file knows holidays.",
    "declined_attempt_free": "An attempt was declined before any output, and is not billed.",
    "refusal_free": "A refusal before any output is not billed.",
    "provider_reported": "The cost is the vendor's own bill.",
    "bill_missing": "The vendor's bill is missing.",
    "bill_rounded": "The vendor's bill was finer than a femto-dollar.",
    "byok_fee_only": "The bill has only the fee of a call with your own key at the vendor behind it.",
    "uncertain_price": "The price row's source is weak.",
    "outside_listing": "No source lists the variant on that day.",
    "stale_book": "The price row was read more than 90 days before.",
}
"""Flags and their meaning. A flag that begins with `unpriced_` may also name a term without a price."""


def meaning(flag: str) -> str:
    """Returns what a flag means; "" for one of another program."""
    if flag in FLAGS:
        return FLAGS[flag]
    if flag.startswith("unpriced_"):
        return "The answer names a term without a price in the row; the plain price is used."
    return ""
