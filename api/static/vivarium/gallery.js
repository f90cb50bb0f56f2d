// The gallery in the form of an entry: pictures are put in order with buttons or by dragging their handle, and
// new ones are shown when they were uploaded. The form sends the order in hidden inputs.

const EDGE = 60 // pixels from the edge of the window, within which dragging scrolls the page

class VivariumGallery extends HTMLElement {
  connectedCallback() {
    this.list = this.querySelector('.pictures')
    this.formset = this.getAttribute('formset')
    this.rows.forEach((row) => this.prepare(row))
    this.renumber()
  }

  get rows() {
    return [...this.list.querySelectorAll('.picture')]
  }

  prepare(row) {
    const [handle, up, down] = ['.handle', '.up', '.down'].map((name) => row.querySelector(name))
    if (!handle) return // who may only look
    for (const button of [handle, up, down]) button.hidden = false
    up.addEventListener('click', () => this.move(row, -1))
    down.addEventListener('click', () => this.move(row, 1))
    handle.addEventListener('pointerdown', (event) => this.drag(row, handle, event))
  }

  /** Set the position of each row, in their order. */
  renumber() {
    const rows = this.rows
    rows.forEach((row, position) => {
      const input = row.querySelector(`[name^=${this.formset}-][name$=-position]`)
      if (!input) return
      input.value = position
      row.querySelector('.up').disabled = position === 0
      row.querySelector('.down').disabled = position === rows.length - 1
    })
  }

  /** Swap the row with the one before or behind. The other one moves, so that this one keeps the focus. */
  move(row, step) {
    const other = step < 0 ? row.previousElementSibling : row.nextElementSibling
    if (!other) return
    if (step < 0) row.after(other)
    else row.before(other)
    this.renumber()
    const [pressed, opposite] = step < 0 ? ['.up', '.down'] : ['.down', '.up']
    if (row.querySelector(pressed).disabled) row.querySelector(opposite).focus()
    row.scrollIntoView({ block: 'nearest' })
    this.querySelector('.moved').textContent = `${this.getAttribute('text-moved')} ${this.rows.indexOf(row) + 1}.`
  }

  drag(row, handle, event) {
    event.preventDefault()
    handle.setPointerCapture(event.pointerId)
    row.classList.add('dragged')
    const follow = ({ clientY }) => this.follow(row, clientY)
    handle.addEventListener('pointermove', follow)
    handle.addEventListener(
      'lostpointercapture',
      () => {
        handle.removeEventListener('pointermove', follow)
        row.classList.remove('dragged')
        this.renumber()
      },
      { once: true },
    )
  }

  /** Move the rows that the pointer has passed to the other side of this one. */
  follow(row, y) {
    const { previousElementSibling: previous, nextElementSibling: next } = row
    if (previous && y < middle(previous)) row.after(previous)
    else if (next && y > middle(next)) row.before(next)
    if (y < EDGE) window.scrollBy(0, -10)
    if (y > window.innerHeight - EDGE) window.scrollBy(0, 10)
  }

  // --- New pictures ---------------------------------------------------------------------------------

  /** Add the rows of pictures that are not shown yet. What the user has changed in the others stays. */
  async load() {
    const response = await fetch(location.pathname + location.search)
    if (!response.ok) throw new Error(`status ${response.status}`)
    const page = new DOMParser().parseFromString(await response.text(), 'text/html')
    const shown = new Set(this.rows.map(idOf))
    for (const row of page.querySelectorAll('vivarium-gallery .picture')) {
      if (!shown.has(idOf(row))) this.add(document.adoptNode(row))
    }
    this.renumber()
  }

  add(row) {
    const total = this.querySelector(`[name=${this.formset}-TOTAL_FORMS]`)
    for (const name of ['name', 'id', 'for', 'aria-describedby']) {
      for (const element of row.querySelectorAll(`[${name}]`)) {
        const renamed = element.getAttribute(name).replace(/-\d+-/, `-${total.value}-`)
        element.setAttribute(name, renamed)
      }
    }
    this.querySelector(`[name=${this.formset}-INITIAL_FORMS]`).value = ++total.value
    this.list.querySelector('.none')?.remove()
    this.list.append(row)
    this.prepare(row)
  }
}

function idOf(row) {
  return row.querySelector('[name$=-id]')?.value
}

/** The height of the middle of an element in the window. */
function middle(element) {
  const { top, height } = element.getBoundingClientRect()
  return top + height / 2
}

customElements.define('vivarium-gallery', VivariumGallery)
