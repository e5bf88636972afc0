"""The words of a checkpoint's files and of what was published, in English and Chinese."""

FILES: dict[str, tuple[str, str]] = {
    "files": ("Files of the candidate's weights", "被测权重的文件"),
    "reference_files": ("Files of the reference's weights", "参考权重的文件"),
    "file": ("File", "文件"),
    "as_published": ("As published", "与发布的一致"),
    "digest_as published": ("yes", "一致"),
    "digest_differs": ("❌ no", "❌ 不一致"),
    "digest_not read": ("not read", "未读取"),
    "digest_unknown": ("not known", "未知"),
}
