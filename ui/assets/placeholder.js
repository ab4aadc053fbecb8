// The counts of the page that is served when the dashboard was not built: asked for once a second, each time after the answer.
const counts = document.getElementById('counts')
const state = document.getElementById('state')

async function ask() {
  try {
    const answer = await fetch('api/counts')
    if (answer.status === 401) {
      state.textContent = 'A password is set: the counts are shown to nobody here. Ask api/counts with an Authorization header.'
      return
    }
    const rows = Object.entries(await answer.json())
    counts.replaceChildren(
      ...rows.map(([name, count]) => {
        const row = document.createElement('tr')
        for (const text of [name, count.toLocaleString()]) row.insertCell().textContent = text
        return row
      }),
    )
    state.textContent = ''
  } catch {
    state.textContent = 'The server does not answer.'
  }
  setTimeout(ask, 1000)
}

void ask()
