// Uploads the image of a form of the admin straight to storage, in the same three steps as all clients: ask
// for a ticket, send the file, complete the ticket.

const MAX_RETRIES = 5 // of a completion whose response has Retry-After

/** An error with a message for the user. */
class UserError extends Error {}

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
    this.showStatus('asking')
    this.show(this.preview, URL.createObjectURL(file))
    try {
      this.finish(await this.send(file))
    } catch (error) {
      if (!(error instanceof UserError)) console.warn(error)
      this.showStatus('', error instanceof UserError ? error.message : this.text('broken'))
    } finally {
      URL.revokeObjectURL(this.preview.src)
      this.preview.hidden = this.progress.hidden = true
      this.input.disabled = false
      this.input.value = '' // so that the same file can be chosen again
      if (document.activeElement === document.body) this.input.focus() // a disabled input loses the focus
    }
  }

  /** Upload the file and return the completed upload. Throws UserError. */
  async send(file) {
    const ticket = await this.post(this.getAttribute('ticket-url'), {
      filename: file.name,
      content_type: file.type,
      size: file.size,
    })
    this.showStatus('sending')
    await this.put(ticket, file)
    this.showStatus('verifying')
    return this.post(ticket.complete_url)
  }

  /** POST JSON to the admin, with its CSRF token. Returns the JSON of the response. Throws UserError. */
  async post(url, body = {}, retries = MAX_RETRIES) {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-CSRFToken': document.querySelector('[name=csrfmiddlewaretoken]').value,
      },
      body: JSON.stringify(body),
    })
    const data = await response.json()
    if (response.ok) return data
    const seconds = Number(response.headers.get('Retry-After'))
    if (seconds && seconds <= 10 && retries) {
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
      return this.post(url, body, retries - 1)
    }
    throw new UserError(data.errors.map((error) => error.detail).join(' ') || data.detail)
  }

  /** Send the file to storage. Uses XMLHttpRequest, because fetch does not report the progress of an upload. */
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
        else reject(new UserError(`${this.text('refused')} (${request.status})`))
      })
      request.send(file)
    })
  }

  finish(upload) {
    const link = this.parentElement.querySelector('.shown')
    link.href = upload.image_url
    link.hidden = false
    this.show(link.querySelector('img'), upload.image_url)
    this.showStatus('done')
  }

  show(image, url) {
    image.src = url
    image.hidden = false
  }

  text(name) {
    return this.getAttribute(`text-${name}`)
  }

  showStatus(status, error = '') {
    this.querySelector('.status').textContent = status && this.text(status)
    this.querySelector('.error').textContent = error
  }
}

customElements.define('vivarium-upload', VivariumUpload)
