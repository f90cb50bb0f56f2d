// Changes a profile in the example app, and its avatar.
// Usage: node app_profile.mjs CHROMIUM APP FOLDER EMAIL PICTURE TEXT; prints what was seen as JSON.
import { launch } from './app.mjs'

const [executable, app, folder, email, picture, text] = process.argv.slice(2)
const { page, complaints, found, visit, signIn, lookEverywhere, close } = await launch(executable, app, folder)
const seen = {}

await visit('/profile', 'Profile')
seen.before = await page.textContent('main p')
await lookEverywhere('signed-out')
await visit('/sign-in', 'Sign in')
await lookEverywhere('sign-in')
await page.fill('input[type=email]', email)
await page.fill('input[type=password]', 'wrong')
await page.press('input[type=password]', 'Enter')
await page.waitForSelector('text=The address or the password is wrong.')
await signIn(email)

// A token that is refused, as after a change of keys: the app refreshes it, and asks again.
const spoil = (changes) =>
  page.evaluate((changes) => {
    const name = Object.keys(localStorage).find((key) => key.endsWith('auth-token'))
    const session = JSON.parse(localStorage.getItem(name))
    localStorage.setItem(name, JSON.stringify({ ...session, ...changes }))
  }, changes)
await spoil({ access_token: 'refused' })
await visit('/profile', 'Profile')
await page.waitForSelector('form')
await page.fill('[name=display_name]', 'x'.repeat(300))
await page.click('button.primary')
await page.waitForSelector('[name=display_name][aria-invalid=true]')
seen.refused = await page.textContent('.error')
await lookEverywhere('refused')
await page.fill('[name=display_name]', 'Alice the keeper')
await page.selectOption('[name=language]', 'es')
await page.click('button.primary')
await page.waitForSelector('[role=status]:has-text("Guardado.")')
seen.heading = await page.textContent('h1')
await page.selectOption('header select', 'en')

await page.setInputFiles('input[type=file]', picture)
await page.waitForSelector('.avatar img')
seen.avatar = await page.$eval('.avatar img', async (image) => (await image.decode(), image.alt))
seen.storage = await page.textContent('section:has(progress):last-child p')
await page.setInputFiles('input[type=file]', text)
await page.waitForSelector('text=is not a PNG image')
await lookEverywhere('profile')
await page.click('button.danger')
await page.waitForSelector('.avatar:not(:has(img))', { state: 'attached' })

await page.click('header button')
await page.waitForSelector('nav a[href="/sign-in"]')
seen.after = await page.textContent('main p')

// The session has been ended elsewhere.
await signIn(email)
await spoil({ access_token: 'refused', refresh_token: 'refused' })
await visit('/profile', 'Profile')
await page.waitForSelector('nav a[href="/sign-in"]')

await close()
console.log(JSON.stringify({ ...seen, found, complaints }))
