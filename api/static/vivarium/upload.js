// Sends a picture from a form of the admin straight to storage, with a ticket: the same three steps as
// every client's. The server sees the announcement and the call back, never a byte of the file.

const PATIENCE = 5 // times that a completion is asked for again, when the answer says that it is worth it

/** What a server refused, in its own words. */
class Refusal extends Error {}

class VivariumUpload extends HTMLElement {
  connectedCallback() {
    this.drop = this.querySelector('.drop')
    this.input = this.querySelector('input[type=file]')
    this.preview = this.querySelector('.preview')
    this.progress = this.querySelector('progress')
    this.drop.hidden = false
    this.input.addEventListener('change', () => this.choose(this.input.files))
    this.drop.addEventListener('dragover', (event) => this.hover(event, true))
    this.drop.addEventListener('dragleave', (event) => this.hover(event, false))
    this.drop.addEventListener('drop', (event) => {
      this.hover(event, false)
      this.choose(event.dataTransfer.files)
    })
  }

  hover(event, over) {
    event.preventDefault()
    this.drop.classList.toggle('over', over)
  }

  async choose(files) {
    const [file] = files
    if (!file || this.input.disabled) return
    this.input.disabled = true // one at a time
    this.say('asking')
    this.show(this.preview, URL.createObjectURL(file))
    try {
      this.finish(await this.send(file))
    } catch (error) {
      if (!(error instanceof Refusal)) console.warn(error)
      this.say('', error instanceof Refusal ? error.message : this.text('broken'))
    } finally {
      URL.revokeObjectURL(this.preview.src)
      this.preview.hidden = this.progress.hidden = true
      this.input.disabled = false
      this.input.value = '' // so that the same file can be chosen again
      if (document.activeElement === document.body) this.input.focus() // it lost it by being disabled
    }
  }

  /** The upload as it was completed. Throws Refusal. */
  async send(file) {
    const ticket = await this.ask(this.getAttribute('ticket-url'), {
      filename: file.name,
      content_type: file.type || 'application/octet-stream',
      size: file.size,
    })
    this.say('sending')
    await this.put(ticket, file)
    this.say('verifying')
    return this.ask(ticket.complete_url)
  }

  /** POST to the admin, with its CSRF token. */
  async ask(url, body = {}, left = PATIENCE) {
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-CSRFToken': document.querySelector('[name=csrfmiddlewaretoken]').value,
      },
      body: JSON.stringify(body),
    })
    const said = await answer.json()
    if (answer.ok) return said
    const wait = Number(answer.headers.get('Retry-After'))
    if (wait && wait <= 10 && left) {
      await new Promise((resolve) => setTimeout(resolve, wait * 1000))
      return this.ask(url, body, left - 1)
    }
    throw new Refusal(said.errors.map((error) => error.detail).join(' ') || said.detail)
  }

  /** XMLHttpRequest, because fetch does not tell how much is sent. */
  put(ticket, file) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest()
      request.open(ticket.method, ticket.url)
      for (const [name, value] of Object.entries(ticket.headers)) request.setRequestHeader(name, value)
      this.progress.value = 0
      this.progress.hidden = false
      request.upload.addEventListener('progress', ({ loaded, total }) => {
        this.progress.value = (100 * loaded) / total
      })
      request.addEventListener('error', () => reject(new Error('not sent')))
      request.addEventListener('load', () => {
        if (request.status < 300) resolve()
        else reject(new Refusal(`${this.text('refused')} (${request.status})`))
      })
      request.send(file)
    })
  }

  finish(upload) {
    const shown = this.parentElement.querySelector('.shown')
    shown.href = upload.image_url
    shown.hidden = false
    this.show(shown.querySelector('img'), upload.image_url)
    this.say('done')
  }

  show(image, url) {
    image.src = url
    image.hidden = false
  }

  text(name) {
    return this.getAttribute(`text-${name}`)
  }

  say(status, error = '') {
    this.querySelector('.status').textContent = status && this.text(status)
    this.querySelector('.error').textContent = error
  }
}

customElements.define('vivarium-upload', VivariumUpload)
