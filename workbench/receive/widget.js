// Thumbs, stars and a correction in each <div data-request_id="...">: see docs/receive.md.
(() => {
 const doc = document, me = doc.currentScript, key = me.dataset.key
 const headers = { "Content-Type": "application/json", ...key && { "X-API-Key": key } }
 let store = {}, pause = 1e3, timer, busy
 try { store = localStorage } catch {}

 // Stored until the service answers: kept, known or refused.
 async function flush() {
  if (busy) return
  busy = 1
  clearTimeout(timer)
  try {
   for (let k; k = Object.keys(store).find(k => k.startsWith("fw:")); delete store[k]) {
    const body = store[k]
    const { status } = await fetch(new URL("/v1/feedback", me.src), { method: "POST", headers, body, keepalive: body.length < 2e4 })
    if (![202, 409, 413, 422].includes(status)) throw 0
   }
   pause = 1e3
  } catch {
   timer = setTimeout(flush, pause = Math.min(2 * pause, 6e4))
  }
  busy = 0
 }

 function mount(box) {
  const add = (tag, textContent, ariaLabel, onclick) =>
   Object.assign(box.appendChild(doc.createElement(tag)), { textContent, ariaLabel, onclick })
  const send = (kind, said, name = kind) => {
   const id = crypto.getRandomValues(new Uint32Array(4)).join("-")
   store["fw:" + id] = JSON.stringify({ rater_kind: "human", ...box.dataset, feedback_id: id, ts: new Date, name, kind, ...said })
   note.textContent = "Thank you"
   flush()
  }
  const press = (text, label, ...said) => add("button", text, label, () => send(...said))
  press("👍", "Good", "binary", { value: 1 }, "thumb")
  press("👎", "Bad", "binary", { value: 0 }, "thumb")
  for (let value = 1; value < 6; value++) press("★", value + " of 5", "rating", { value }, "stars")
  const text = add("textarea", "", "Correction")
  add("button", "Send", null, () => text.value && send("correction", { corrected_output: text.value }))
  const note = add("output")
 }

 doc.querySelectorAll("[data-request_id]").forEach(mount)
 self.workbenchFeedback = mount
 addEventListener("online", flush)
 flush()
})()
