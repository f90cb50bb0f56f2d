// Keeps chosen files in IndexedDB while the form of a new entry is sent: they are uploaded from the next page.

const MAX_AGE = 60 * 60 * 1000 // milliseconds, after which files are deleted whose form was never saved

/** Keep these files under an id. Rejects if the browser has no room. */
export async function keep(id, button, files) {
  const database = await open()
  await done(database, 'readwrite', (store) => store.put({ id, button, files, since: Date.now() }, id))
  database.close()
}

/** Return what is kept under this id, `{button, files}`, or undefined; nothing is kept afterwards. */
export async function take(id) {
  const database = await open()
  let found
  await done(database, 'readwrite', (store) => {
    store.get(id).onsuccess = (event) => (found = event.target.result)
    store.delete(id)
  })
  database.close()
  return found
}

/** Delete what is too old. */
export async function tidy() {
  const database = await open()
  await done(database, 'readwrite', (store) => {
    store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (!cursor) return
      if (cursor.value.since < Date.now() - MAX_AGE) cursor.delete()
      cursor.continue()
    }
  })
  database.close()
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('vivarium', 1)
    request.onupgradeneeded = () => request.result.createObjectStore('waiting')
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

function done(database, mode, act) {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction('waiting', mode)
    transaction.oncomplete = resolve
    transaction.onerror = transaction.onabort = () => reject(transaction.error)
    act(transaction.objectStore('waiting'))
  })
}
