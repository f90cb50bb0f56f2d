// Signs up, in and out with supabase-js, as an app does, at the local Auth server.
// Usage: node auth.mjs BASE PASSWORD (that of the accounts of the demo)
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { JSDOM } from 'jsdom'

globalThis.WebSocket ??= new JSDOM('').window.WebSocket // browsers and newer Nodes have their own
const { createClient } = await import('@supabase/supabase-js')

const [base, password] = process.argv.slice(2)

/** A browser: a client with a storage of its own, and the events that it has told of. */
function browser() {
  const store = new Map()
  const storage = {
    getItem: (name) => store.get(name) ?? null,
    setItem: (name, value) => store.set(name, value),
    removeItem: (name) => store.delete(name),
  }
  const supabase = createClient(base, 'any-key', { auth: { storage, storageKey: randomUUID() } })
  const events = []
  supabase.auth.onAuthStateChange((event) => events.push(event))
  return { supabase, auth: supabase.auth, events }
}

async function signedIn(credentials) {
  const here = browser()
  await ok(here.auth.signInWithPassword(credentials))
  return here
}

async function ok(call) {
  const { data, error } = await call
  if (error) throw error
  return data
}

async function refused(call, code) {
  const { error } = await call
  assert.equal(error?.code, code, error?.message)
  return error
}

async function api(auth, method, path, body) {
  const { session } = await ok(auth.getSession())
  const url = path.startsWith('http') ? path : `${base}/api/v1/${path}`
  const answer = await fetch(url, {
    method,
    headers: { Authorization: `Bearer ${session.access_token}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  })
  return { status: answer.status, body: await answer.json() }
}

const scenarios = {
  async signUp() {
    const { auth, events } = browser()
    const credentials = { email: `${randomUUID()}@example.org`, password: 'correct horse' }
    const { user, session } = await ok(auth.signUp({ ...credentials, options: { data: { name: 'Anna' } } }))
    assert.equal(user.email, credentials.email)
    assert.equal(user.user_metadata.name, 'Anna')
    assert.equal(user.identities.length, 1)
    assert.ok(session.access_token)
    assert.deepEqual(events, ['INITIAL_SESSION', 'SIGNED_IN'])
    await refused(browser().auth.signUp(credentials), 'user_already_exists')
    const weak = await refused(browser().auth.signUp({ ...credentials, password: 'x' }), 'weak_password')
    assert.deepEqual([weak.name, weak.reasons], ['AuthWeakPasswordError', ['length']])
  },

  async signInWithPassword() {
    const { auth } = browser()
    await refused(auth.signInWithPassword({ email: 'alice@example.org', password: 'wrong' }), 'invalid_credentials')
    assert.equal((await ok(auth.getSession())).session, null)
    const { user } = await ok(auth.signInWithPassword({ email: 'alice@example.org', password }))
    assert.equal(user.email, 'alice@example.org')
    const documents = await api(auth, 'GET', 'documents/')
    assert.equal(documents.status, 200)
    assert.ok(documents.body.results.some(({ title }) => title === 'Feeding plan, winter'))
    const curator = await signedIn({ email: 'curator@example.org', password })
    assert.equal((await api(curator.auth, 'POST', 'species/', {})).body.code, 'invalid')
    assert.equal((await api(auth, 'POST', 'species/', {})).body.code, 'permission_denied')
  },

  async signInAnonymously() {
    const { auth } = browser()
    const { user } = await ok(auth.signInAnonymously())
    assert.equal(user.is_anonymous, true)
    const { status, body } = await api(auth, 'GET', 'documents/')
    assert.deepEqual([status, body.code], [401, 'anonymous_not_allowed'])
    const email = `${randomUUID()}@example.org`
    const updated = await ok(auth.updateUser({ email, password: 'correct horse' }))
    assert.deepEqual([updated.user.id, updated.user.is_anonymous], [user.id, false])
    await ok(auth.refreshSession())
    assert.equal((await api(auth, 'GET', 'documents/')).status, 200)
  },

  async getUser() {
    const { auth } = await signedIn({ email: 'alice@example.org', password })
    assert.equal((await ok(auth.getUser())).user.email, 'alice@example.org')
    assert.equal((await ok(auth.getUserIdentities())).identities[0].provider, 'email')
    assert.deepEqual((await ok(auth.mfa.listFactors())).all, [])
    assert.equal((await ok(auth.getClaims())).claims.email, 'alice@example.org')
    await refused(auth.getUser('not.a.token'), 'bad_jwt')
  },

  async updateUser() {
    const email = `${randomUUID()}@example.org`
    const { auth, events } = browser()
    await ok(auth.signUp({ email, password: 'correct horse' }))
    const { user } = await ok(auth.updateUser({ data: { theme: 'dark' }, password: 'battery staple' }))
    assert.equal(user.user_metadata.theme, 'dark')
    assert.equal(events.at(-1), 'USER_UPDATED')
    await refused(auth.updateUser({ password: 'battery staple' }), 'same_password')
    await signedIn({ email, password: 'battery staple' })
    await refused(browser().auth.signInWithPassword({ email, password: 'correct horse' }), 'invalid_credentials')
  },

  async refreshSession() {
    const { auth, events } = await signedIn({ email: 'alice@example.org', password })
    const before = (await ok(auth.getSession())).session
    const { session } = await ok(auth.refreshSession())
    assert.notEqual(session.refresh_token, before.refresh_token)
    assert.equal(events.at(-1), 'TOKEN_REFRESHED')
    const tab = browser() // another one, whose session is a little old
    await ok(tab.auth.refreshSession(before))
    assert.equal((await ok(tab.auth.getSession())).session.refresh_token, session.refresh_token)
    await refused(browser().auth.refreshSession({ refresh_token: 'abcdefghijk1' }), 'refresh_token_not_found')
    const copy = browser()
    await ok(copy.auth.setSession((await ok(auth.getSession())).session))
    assert.equal((await ok(copy.auth.getUser())).user.email, 'alice@example.org')
  },

  async signOut() {
    const email = `${randomUUID()}@example.org`
    const credentials = { email, password: 'correct horse' }
    await ok(browser().auth.signUp(credentials))
    for (const [scope, ...left] of [['local', 'other'], ['others', 'here'], ['global']]) {
      const [here, other] = [await signedIn(credentials), await signedIn(credentials)]
      await ok(here.auth.signOut({ scope }))
      const found = []
      for (const [name, { auth }] of Object.entries({ here, other })) {
        if ((await auth.getUser()).data.user) found.push(name)
      }
      assert.deepEqual(found, left, scope)
      assert.equal(here.events.at(-1), scope === 'others' ? 'SIGNED_IN' : 'SIGNED_OUT')
      if (scope === 'global') {
        assert.equal(other.events.at(-1), 'SIGNED_OUT') // `getUser` was told that the session has ended
        assert.equal((await ok(other.auth.getSession())).session, null)
      }
    }
  },

  async onAuthStateChange() {
    const { auth, events } = browser()
    await ok(auth.signInWithPassword({ email: 'bob@example.org', password }))
    await ok(auth.refreshSession())
    await ok(auth.updateUser({ data: { seen: true } }))
    await ok(auth.signOut())
    assert.deepEqual(events, [
      'INITIAL_SESSION', 'SIGNED_IN', 'TOKEN_REFRESHED', 'USER_UPDATED', 'SIGNED_OUT'
    ])
  },

  async upload() {
    const { supabase, auth } = await signedIn({ email: 'alice@example.org', password })
    const file = new File(['%PDF-1.4\n% hello\n'], 'plan.pdf', { type: 'application/pdf' })
    const { body: document } = await api(auth, 'POST', 'documents/', { title: randomUUID() })
    const { body: ticket } = await api(auth, 'POST', `documents/${document.id}/upload-url/`, {
      filename: file.name, content_type: file.type, size: file.size,
    })
    await ok(supabase.storage.from(ticket.bucket).uploadToSignedUrl(ticket.path, ticket.token, file))
    assert.equal((await api(auth, 'POST', ticket.complete_url)).body.state, 'completed')
  },

  async leftOut() {
    const { auth } = browser()
    await refused(auth.resetPasswordForEmail('alice@example.org'), 'feature_disabled')
    await refused(auth.signInWithOtp({ email: 'alice@example.org' }), 'feature_disabled')
    await refused(auth.signInWithPassword({ phone: '4915112345678', password }), 'phone_provider_disabled')
    await refused(auth.signInWithIdToken({ provider: 'google', token: 'x' }), 'provider_disabled')
    await refused(auth.resend({ type: 'signup', email: 'alice@example.org' }), 'feature_disabled')
    await refused(auth.admin.listUsers(), 'feature_disabled')
    const alice = await signedIn({ email: 'alice@example.org', password })
    await refused(alice.auth.mfa.enroll({ factorType: 'totp' }), 'mfa_totp_enroll_not_enabled')
    await refused(alice.auth.updateUser({ email: 'other@example.org' }), 'feature_disabled')
  },
}

for (const [name, scenario] of Object.entries(scenarios)) {
  try {
    await scenario()
  } catch (error) {
    console.error(name, error)
    process.exit(1)
  }
}
console.log(Object.keys(scenarios).join(' '))
process.exit(0) // clients refresh their sessions for ever
