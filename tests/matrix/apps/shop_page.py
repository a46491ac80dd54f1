"""The shop's page: it logs in, asks the assistant with a plain `fetch`, and shows what came."""

PAGE = """\
<!doctype html>
<title>shop</title>
<p id="answer">waiting</p>
<script>
const call = {model: "claude-haiku-4-5", max_tokens: 64, messages: [{role: "user", content: "hello"}]};
async function ask(stream) {
  const answer = await fetch("/llm/v1/messages", {
    method: "POST",
    headers: {"content-type": "application/json", "anthropic-version": "2023-06-01"},
    body: JSON.stringify({...call, stream}),
  });
  return answer.status + " " + await answer.text();
}
(async () => {
  await fetch("/login/alice", {method: "POST"});
  const said = [await ask(false), await ask(true)];
  document.getElementById("answer").textContent = said.join("\\n");
})();
</script>
"""
