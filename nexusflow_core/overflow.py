"""Recognises errors for a prompt that is too long, of any vendor.

Agents shorten their conversation only for Anthropic's text. After any other they retry.
"""

from nexusflow_core.untyped import compiled

__all__ = ["too_long"]

_WORDINGS = r"""(?ix)
    # Codes and types
    context_?(?:length|window)_?(?:is_?)?exceeded          # OpenAI, Groq, LiteLLM
    | exceed_context_size                                  # llama.cpp
    | model_max_prompt_tokens_exceeded                     # Copilot
    | \bprompt_too_long\b | \bcontext_too_long\b

    # The context, or the window
    | maximum\ context                                     # OpenAI, DeepSeek, vLLM, SGLang, Mistral, OpenRouter
    | context\ window                                      # OpenAI, MiniMax, llama-cpp-python, Cloudflare
    | (?:exceed(?:s|ed)?|longer\ than|greater\ than)
      \ (?:the\ |this\ |available\ |max(?:imum)?\ |model(?:'?s)?\ )*context(?:\ (?:size|length|limit))?\b
                                                           # Together, SGLang, LM Studio, llama.cpp, Ollama
    | context\ (?:size|length|limit)\ (?:has\ been\ |was\ |is\ )?exceeded            # Databricks
    | reached\ context\ length | context\ the\ overflows | context\ overflow         # LM Studio
    | context\ length\ is\ only                            # vLLM
    | too\ long\ to\ fit\ into\ the\ model                 # vLLM

    # The prompt, or the input
    | \b(?:prompt|input|conversation|messages?)\ (?:is|are|was)\ too\ (?:long|large\ to\ process)
                                                           # Anthropic, Bedrock, Fireworks, llama.cpp
    | input\ prompt\ \([\d,]+\ tokens\)\ is\ too\ long     # vLLM
    | \bprompt\ too\ long\b                                # Ollama
    | longer\ than\ the\ maximum\ (?:model|input|prompt|sequence)\ length            # vLLM
    | prompt\ exceeds?\ (?:the\ )?max(?:imum)?\ length     # GLM
    | prompt\ 超长 | 输入(?:长度|内容)?(?:超过|过长|超长)  # GLM, Baidu, Tencent
    | \b(?:prompt(?:'s)?|input)\ (?:tokens?|(?:token\ )?(?:length|count))\ (?:of\ )?(?:\(?[\d,]+\)?\ )?
      (?:exceeds?|(?:is\ )?(?:greater|longer)\ than|cannot\ exceed)\b                # TensorRT-LLM, TabbyAPI
    | \btokens?\ (?:in|of)\ (?:the\ |your\ )?(?:prompt|input|image\ and\ text)\ exceeds?
    | max\ tokens\ of\ \d+\ exceeded                       # Snowflake
    | (?:prompt|input)\ has\ (?:[\d,]+|too\ many)\ tokens
    | input\ token\ count.{0,60}(?:exceeds?|only\ supports)                          # Gemini, Vertex
    | prompt\ token\ count.{0,40}exceeds?                  # Copilot
    | number\ of\ input\ tokens.{0,40}exceed               # Nova, watsonx
    | input\ tokens\ exceeded | too\ many\ input\ tokens   # Nova, Titan
    | total\ number\ of\ tokens\ in\ the\ prompt           # Cohere
    | too\ many\ tokens:                                   # Cohere; Bedrock throttles with other punctuation
    | maximum\ (?:allowed\ )?(?:prompt|input)\ length      # xAI, Poolside, TensorRT-LLM, DeepInfra
    | maximum\ (?:number\ of\ )?(?:input|prompt)\ tokens
    | exceeds?\ (?:the\ )?max(?:imum)?[_ ]seq(?:uence)?[_ ]len               # SambaNova
    | prompt_tokens.{0,40}must\ be\ less\ than\ max_seq_len                # SiliconFlow
    | (?<!output\ )(?<!completion\ )token\ limit\ exceeded
    | current\ length\ is\ [\d,]+\ while\ (?:the\ )?limit\ is              # Cerebras
    | range\ of\ input\ length                             # Qwen
    | (?:request\ )?exceeded\ model\ token\ limit          # Kimi
    | tokens?\ to\ keep\ from\ the\ initial\ prompt        # LM Studio
    | `?inputs`?\ (?:tokens\ \+|must\ have\ less\ than)    # TGI
    | prompt\ contains\ [\d,]+\ tokens                     # Mistral
    | sum\ of\ prompt\ length                              # TensorRT-LLM
    | reduce\ (?:the\ )?(?:length|number\ of\ tokens)\ (?:of|in)\ (?:the\ |your\ )*(?:messages?|prompt|input)
                                                           # Groq, Cerebras, OpenAI
    | max(?:_|imum\ )tokens?\W{1,3}must\ be\ at\ least\ 1,\ got\ -\d                 # vLLM
    | (?:estimated\ )?number\ of\ input\ and\ maximum\ output\ tokens                # Cloudflare
    """

_RATES = r"(?i)rate.?limit|too many requests|throttl|quota|tokens? per (?:min|day|hour|second)|\b[TR]P[MD]\b"
"""Rate limits, whose texts can look similar."""

_CODES = frozenset({"1261"})
"""GLM's code for a prompt that is too long."""

_LONGEST = 20_000
"""Bound on the characters that are searched: a vendor may repeat the prompt."""


def too_long(text: str, words: str = "") -> bool:
    """True if an error says that the prompt is too long. `text`: its message; `words`: its type and codes."""
    text = f"{words} {text}"[:_LONGEST]
    matches = compiled(_WORDINGS).search(text) is not None or not _CODES.isdisjoint(words.split())
    return matches and compiled(_RATES).search(text) is None
