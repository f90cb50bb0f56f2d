// Uploads the pictures of a form of the admin straight to storage, in the same three steps as all clients: ask
// for a ticket, send the file, complete the ticket. One after the other, so that they keep their order.
//
// A new entry must be saved before: its form keeps the files in the browser, and the next page sends them.

import { keep, take, tidy } from './waiting.js'

const MAX_RETRIES = 5 // of a request whose response has Retry-After

/** An error with a message for the user. */
class UserError extends Error {}

class VivariumUpload extends HTMLElement {
  connectedCallback() {
    this.drop = this.querySelector('.drop')
    this.input = this.querySelector('input[type=file]')
    this.list = this.querySelector('.files')
    this.rows = [] // those that are not sent yet
    this.drop.hidden = false
    this.input.addEventListener('change', () => {
      this.choose([...this.input.files])
      this.input.value = '' // so that the same file can be chosen again
    })
    this.drop.addEventListener('dragover', (event) => this.hover(event, true))
    this.drop.addEventListener('dragleave', (event) => this.hover(event, false))
    this.drop.addEventListener('drop', (event) => {
      this.hover(event, false)
      this.choose([...event.dataTransfer.files])
    })
    window.addEventListener('beforeunload', (event) => this.isSending && event.preventDefault())
    if (this.isNew) this.closest('form').addEventListener('submit', (event) => this.keepUntilSaved(event))
    this.resume().catch((error) => console.warn(error))
  }

  get isNew() {
    return this.hasAttribute('waiting')
  }

  hover(event, over) {
    event.preventDefault()
    this.drop.classList.toggle('over', over)
  }

  choose(files) {
    this.querySelector('.error').textContent = ''
    this.rows.push(...files.map((file) => this.addRow(file)))
    if (!this.isNew) return this.sendAll()
  }

  /** Take the files that the last page has kept: choose them again on the form with errors, or send them. */
  async resume() {
    const id = this.isNew ? this.getAttribute('waiting') : location.hash.match(/^#pictures=([-0-9a-f]{36})$/)?.[1]
    const kept = id && (await take(id))
    await tidy()
    if (!kept) return
    const isSent = await this.choose(kept.files)
    if (isSent) this.leave(kept.button)
  }

  // --- A new entry ----------------------------------------------------------------------------------

  /** Keep the files in the browser, and then submit the form with the same button. */
  async keepUntilSaved(event) {
    if (this.isKept) return
    this.querySelector('[name=_pictures]')?.remove() // of an earlier try
    if (!this.rows.length) return
    event.preventDefault()
    const id = crypto.randomUUID?.() ?? uuid()
    try {
      await keep(id, event.submitter?.name, this.rows.map((row) => row.file))
    } catch (error) {
      console.warn(error)
      this.querySelector('.error').textContent = this.text('unkept')
      return
    }
    this.append(make('input', { type: 'hidden', name: '_pictures', value: id }))
    this.isKept = true
    event.target.requestSubmit(event.submitter)
    this.isKept = false
  }

  /** Go where the button of the form leads. */
  leave(button) {
    const target = { _save: this.getAttribute('list-url'), _addanother: this.getAttribute('add-url') }[button]
    if (target) location.assign(target)
    else history.replaceState(null, '', location.pathname + location.search)
  }

  // --- Sending --------------------------------------------------------------------------------------

  /** Send the files of all rows, and show the new pictures. Returns whether all were sent. */
  async sendAll() {
    if (this.isSending) return
    this.isSending = true
    let isSent = true
    while (this.rows.length) isSent = (await this.trySend(this.rows.shift())) && isSent
    this.isSending = false
    await this.showPictures()
    return isSent
  }

  async trySend(row) {
    try {
      await this.send(row)
      return true
    } catch (error) {
      if (!(error instanceof UserError)) console.warn(error)
      row.fail(error instanceof UserError ? error.message : this.text('broken'))
      return false
    }
  }

  async send(row) {
    const { file } = row
    row.say(this.text('asking'))
    const ticket = await this.post(this.getAttribute('ticket-url'), {
      filename: file.name,
      content_type: file.type,
      size: file.size,
    })
    row.say(this.text('sending'))
    await this.put(ticket, file, row.progress)
    row.say(this.text('verifying'))
    await this.post(ticket.complete_url)
    row.finish(this.text('done'))
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
  put(ticket, file, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest()
      request.open(ticket.method, ticket.url)
      for (const [name, value] of Object.entries(ticket.headers)) request.setRequestHeader(name, value)
      progress.hidden = false
      request.upload.addEventListener('progress', ({ loaded, total }) => {
        progress.value = (100 * loaded) / total
      })
      request.addEventListener('error', () => reject(new Error('not sent')))
      request.addEventListener('load', () => {
        if (request.status < 300) resolve()
        else reject(new UserError(`${this.text('refused')} (${request.status})`))
      })
      request.send(file)
    })
  }

  async showPictures() {
    try {
      await document.querySelector('vivarium-gallery').load()
    } catch (error) {
      console.warn(error)
      this.querySelector('.error').textContent = this.text('unloaded')
    }
  }

  // --- What is shown --------------------------------------------------------------------------------

  addRow(file) {
    const row = new FileRow(file, this.text('progress'))
    row.say(this.text(this.isNew ? 'waiting' : 'queued'))
    this.list.append(row.element)
    if (this.isNew) row.addButton(this.text('remove'), () => this.remove(row))
    return row
  }

  remove(row) {
    this.rows = this.rows.filter((each) => each !== row)
    row.element.remove()
    this.input.focus()
  }

  text(name) {
    return this.getAttribute(`text-${name}`)
  }
}

/** The line of a chosen file: a preview, its name, how far it is, and why it failed. */
class FileRow {
  constructor(file, progressLabel) {
    this.file = file
    this.preview = make('img', { src: URL.createObjectURL(file), alt: '' })
    this.preview.addEventListener('load', () => URL.revokeObjectURL(this.preview.src))
    this.preview.addEventListener('error', () => (this.preview.hidden = true)) // not every browser shows HEIC
    this.status = make('span', { className: 'status' })
    this.progress = make('progress', { max: 100, value: 0, hidden: true, ariaLabel: progressLabel })
    this.text = make('div', { className: 'file' })
    this.text.append(make('span', { className: 'name', textContent: file.name }), this.status, this.progress)
    this.element = make('li')
    this.element.append(this.preview, this.text)
  }

  addButton(label, act) {
    const button = make('button', { type: 'button', textContent: label })
    button.addEventListener('click', act)
    this.element.append(button)
  }

  say(text) {
    this.status.textContent = text
  }

  finish(text) {
    this.say(text)
    this.progress.hidden = true
    this.element.classList.add('done')
  }

  fail(reason) {
    this.finish(reason)
    this.element.classList.replace('done', 'failed')
  }
}

function make(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties)
}

/** A random UUID. Browsers have `crypto.randomUUID` only on pages of HTTPS and localhost. */
function uuid() {
  const digits = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

customElements.define('vivarium-upload', VivariumUpload)
