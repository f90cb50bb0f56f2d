// Edits a species in the example app while somebody else changes it, and its pictures.
// Usage: node app_staff.mjs CHROMIUM APP FOLDER API TOKEN PICTURE...; prints what was seen as JSON.
import { launch } from './app.mjs'

const [executable, app, folder, api, token, ...pictures] = process.argv.slice(2)
const { page, complaints, found, visit, signIn, lookEverywhere, close } = await launch(executable, app, folder)
const seen = {}
const species = `${api}/api/v1/species/okapi/`
const save = () => page.click('form.stack >> nth=0 >> button.primary')
const saved = () => page.waitForSelector('[role=status]:has-text("Saved.")')
const change = (changes) =>
  fetch(species, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(changes),
  })
const stored = async () => (await fetch(species)).json()
const cells = () => page.$$eval('.conflict tbody tr', (rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)))

await signIn('alice@example.org')
await visit('/species/okapi', 'Okapi')
seen.member = await page.isVisible('text=Edit')
await visit('/species/okapi/edit')
await page.waitForSelector('text=Only staff see this page.')
await page.click('header button')
await page.waitForSelector('nav a[href="/sign-in"]')

await signIn('curator@example.org')
await visit('/species/okapi', 'Okapi')
await page.click('text=Edit')

// --- A conflict, and each way out of it --------------------------------------------------------------
await page.fill('[name=habitat]', 'Mine')
await change({ habitat: 'Theirs', family: 'Theirs too' })
await save()
await page.waitForSelector('.conflict')
seen.conflict = await cells()
await lookEverywhere('conflict')
await page.click('text=Take theirs')
seen.taken = await page.inputValue('[name=habitat]')

await page.fill('[name=habitat]', 'Mine again')
await change({ habitat: 'Theirs again' })
await save()
await page.waitForSelector('.conflict')
seen.focused = await page.evaluate(() => document.activeElement.id)
await page.click('text=Keep mine')
await saved()
seen.kept = (await stored()).habitat

await page.fill('[name=common_name]', '')
await save()
await page.waitForSelector('[name=common_name][aria-invalid=true]')
await page.fill('[name=common_name]', 'Okapi')
await save()
await saved()

// --- Pictures ----------------------------------------------------------------------------------------
const form = (number) => page.locator(`form[aria-label="Picture ${number}"]`)
await page.setInputFiles('input[type=file]', pictures)
await form(3).waitFor()
await page.waitForFunction(() => document.querySelectorAll('.card > img').length === 3)
await form(3).locator('[name="alt/en"]').fill('An okapi in the rain.')
await form(3).locator('[name=credit]').fill('Ana')
await form(3).locator('[name=position]').selectOption('0')
await form(3).locator('button:has-text("Save")').click()
await page.waitForFunction(() => document.querySelector('form[aria-label="Picture 1"] [name=credit]').value === 'Ana')
seen.image = (await stored()).image.alt.en
await lookEverywhere('edit')

// A picture has changed the entry, and its ETag, but none of the values.
await page.fill('[name=habitat]', 'After the pictures')
const answered = page.waitForResponse((answer) => answer.request().method() === 'PATCH' && answer.ok())
await save()
await answered
seen.afterPictures = (await stored()).habitat
page.once('dialog', (dialog) => dialog.accept())
await form(3).locator('button.danger').click()
await form(3).waitFor({ state: 'detached' })

await close()
console.log(JSON.stringify({ ...seen, found, complaints }))
