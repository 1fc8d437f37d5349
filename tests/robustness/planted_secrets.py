"""Drawn secrets of many kinds planted in what a kernel is built of, each in a file of its own."""

import base64
import itertools
import json
import random
import string
from collections.abc import Iterator

from podium.kaggle.secret_scan import SecretFound, check_no_secrets
from robustness.figures import Figure

UPPER, LOWER, DIGITS = string.ascii_uppercase, string.ascii_lowercase, string.digits
WORD, HEX = UPPER + LOWER + DIGITS, DIGITS + "abcdef"
FORMS = {  # how a secret that is known by its looks is written there
    "recipe.toml": ('weights = "{}"', "# was {}", "batch_size = 16 # {}"),
    "kernel.py": ("login('{}')", 'client = Client("{}", retries=3)', "# as in {}"),
    "kernel-metadata.json": ('  "title": "{}",', '  "keywords": ["a", "{}"]'),
}


def drawn(seed: int) -> tuple[dict[str, str], dict[tuple[str, ...], tuple[str, ...]]]:
    """Secrets known by their looks, and lines of files in which the name beside it tells."""
    generator = random.Random(seed)

    def some(length: int, signs: str = WORD) -> str:
        # One of each kind of sign, as good generators see to; the rest as they come.
        kinds = [kind for kind in (UPPER, LOWER, DIGITS) if set(kind) & set(signs)]
        first = [generator.choice(sorted(set(kind) & set(signs))) for kind in kinds]
        text = [*first, *generator.choices(signs, k=length - len(first))]
        generator.shuffle(text)
        return "".join(text)

    def encoded(data: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    looks = {
        "AWS access key": "AKIA" + some(16, UPPER + DIGITS),
        "AWS temporary key": "ASIA" + some(16, UPPER + DIGITS),
        "AWS secret key": some(40, WORD + "/+"),
        "GitHub personal token": "ghp_" + some(36),
        "GitHub fine-grained token": "github_pat_" + some(22) + "_" + some(59),
        "GitHub app token": "ghs_" + some(36),
        "GitLab token": "glpat-" + some(20),
        "Hugging Face token": "hf_" + some(34, UPPER + LOWER),
        "OpenAI key": "sk-" + some(48),
        "OpenAI project key": "sk-proj-" + some(74) + "T3Blbk" + "FJ" + some(74),
        "Anthropic key": "sk-ant-api03-" + some(93) + "AA",
        "OpenRouter key": "sk-or-v1-" + some(64, HEX),
        "Groq key": "gsk_" + some(52),
        "Replicate token": "r8_" + some(37),
        "Slack bot token": f"xoxb-{some(12, DIGITS)}-{some(12, DIGITS)}-{some(24)}",
        "Slack app token": f"xapp-1-A{some(10, UPPER + DIGITS)}-{some(13, DIGITS)}-{some(64, HEX)}",
        "Slack webhook": f"https://hooks.slack.com/services/T{some(8)}/B{some(10)}/{some(24)}",
        "Google API key": "AIza" + some(35),
        "Google client secret": "GOCSPX-" + some(28),
        "Google refresh token": "1//0" + some(60),
        "private RSA key": "-----BEGIN RSA " + "PRIVATE KEY-----",
        "private key": "-----BEGIN " + "PRIVATE KEY-----",
        "private OpenSSH key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
        "encrypted private key": "-----BEGIN ENCRYPTED " + "PRIVATE KEY-----",
        "age key": "AGE-SECRET-KEY-1" + some(58, UPPER + DIGITS),
        "JWT": f"{encoded({'alg': 'HS256'})}.{encoded({'sub': some(9)})}.{some(43)}",
        "address with a password": f"https://grete:{some(10)}@example.org/data.zip",
        "address of a database": f"postgresql://grete:{some(12)}@db.example.org:5432/x",
        "address with a token": f"https://{some(30)}@example.org/grete/x.git",
        "npm token": "npm_" + some(36),
        "PyPI token": "pypi-AgEIcHlwaS5vcmc" + some(120, WORD + "-_"),
        "Stripe live key": "sk_live_" + some(24),
        "Stripe test key": "sk_test_" + some(24),
        "Stripe restricted key": "rk_live_" + some(99),
        "SendGrid key": f"SG.{some(22)}.{some(43)}",
        "Mailgun key": "key-" + some(32, HEX),
        "Telegram token": f"{some(10, DIGITS)}:AA{some(33)}",
        "Discord token": f"M{some(23)}.{some(6)}.{some(27)}",
        "Discord webhook": f"https://discord.com/api/webhooks/{some(18, DIGITS)}/{some(68)}",
        "Azure storage key": f"AccountKey={some(86)}==",
        "Azure shared signature": f"https://x.blob.core.windows.net/c?sp=r&sig={some(43)}%3D",
        "Azure client secret": f"{some(3)}8Q~{some(34)}",
        "Databricks token": "dapi" + some(32, HEX),
        "DigitalOcean token": "dop_v1_" + some(64, HEX),
        "Docker Hub token": "dckr_pat_" + some(27),
        "Twilio key": "SK" + some(32, HEX),
        "wandb key": some(40, HEX),
        "Comet key": some(25),
        "Neptune token": encoded({"api_address": "https://app.neptune.ai", "api_key": some(36)}),
        "Kaggle key": some(32, HEX),
        "Kaggle token": "KGAT_" + some(32, HEX),
        "Vault token": "hvs." + some(90),
    }
    named = {
        ("recipe.toml",): (
            f'password = "{some(10)}"',
            f"passwd = '{some(9)}'",
            f'token = "{some(16, LOWER + DIGITS)}"',
            f'api_key = "{some(20, LOWER + DIGITS)}"',
        ),
        ("recipe.toml", "kernel.py"): (
            f"# password: {some(10)}",
            f"# token={some(14)}",
            f"# my PASSWORD is {some(11)}",
            f"# machine api.wandb.ai login user password {some(12)}",
            f"# curl -u grete:{some(12)} https://example.org",
            f"# mysql --user grete --password {some(12)}",
            f"# Authorization: Bearer {some(24)}",
            f"# export WANDB_API_KEY={some(20, LOWER + DIGITS)}",
        ),
        ("kernel.py",): (
            f"login(user='grete', password='{some(10)}')",
            'secret = "correct horse battery staple"',
            f'PASSWORD = "{some(10, LOWER)}"',
            f'api = Api(token="{some(18)}")',
            f'os.environ["HF_TOKEN"] = "{some(15)}"',
            f'os.environ.setdefault("KAGGLE_KEY", "{some(16)}")',
            f"headers = {{'x-api-key': '{some(16)}'}}",
            f"auth = ('grete', '{some(12)}')",
            f'headers = {{"Authorization": "Basic {some(24)}"}}',
            f'secret_key: str = "{some(18)}"',
        ),
        ("kernel-metadata.json",): (
            f'  "password": "{some(10)}",',
            f'  "apiKey": "{some(18)}",',
            f'  "client_secret": "{some(18)}",',
            f'  "accessToken": "{some(18)}",',
        ),
    }
    return looks, named


def planted(seed: int) -> Iterator[tuple[str, str, str]]:
    """What was planted, the file, and its text."""
    looks, named = drawn(seed)
    for name, secret in looks.items():
        for file, forms in FORMS.items():
            for form in forms:
                yield f"{name} as {form}", file, f"one\n{form.format(secret)}\nthree\n"
    for files, lines in named.items():
        for file, line in itertools.product(files, lines):
            yield line, file, f"one\n{line}\nthree\n"


def is_found(file: str, text: str) -> bool:
    try:
        check_no_secrets({}, {file: text})
    except SecretFound as error:
        return f"{file}, line 2: " in str(error)
    return False


def secret_figures(quick: bool) -> list[Figure]:
    every = [one for seed in range(1 if quick else 10) for one in planted(seed)]
    passed = [f"{name} in {file}" for name, file, text in every if not is_found(file, text)]
    return [Figure.of_failures("planted secrets that pass", passed, len(every))]
