"""The words of what is folded away on a page and stands in details.md, in English and Chinese."""

DETAILS: dict[str, tuple[str, str]] = {
    "p": ("p", "p"),
    "reason": ("Reason", "原因"),
    "mismatches_more": ("… and {count} more, in report.json.", "……另有 {count} 处，见 report.json。"),
    "combinations": ("What each combination points at", "各种组合的指向"),
    "boundary_error": ("Rel. L2 error to base, max", "与 base 的最大相对误差（L2）"),
    "at_boundary": ("At block-boundary prompts, against base", "块边界提示词处与 base 的比较"),
    "never_ran": ("Variants that left nothing to judge", "没有留下可判定结果的变体"),
    "config_digest": ("Config's digest", "配置摘要"),
    "ruled_out_by_check": ("By check: the smallest faults that each would have caught", "按检查项：能检出的最小错误"),
    "from_cache": (
        "({cached} answers from the cache, {computed} computed)",
        "（缓存 {cached} 条，计算 {computed} 条）",
    ),
    "note_differences": (
        "Of variants that take base's tokens only what differs from base is listed.",
        "沿用 base 的 token 的变体，仅列出与 base 不同之处。",
    ),
    "published_setup": ("Hardware, versions and settings, as printed", "硬件、版本与设置（原文）"),
}
