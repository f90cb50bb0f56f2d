import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, declared, ok, queries, type Profile as ProfileType } from '../api'
import { Field } from '../components/Field'
import { FilePicker } from '../components/FilePicker'
import { Page } from '../components/Page'
import { Picture } from '../components/Picture'
import { Problem } from '../components/Problem'
import { RequireSession } from '../components/RequireSession'
import { useLanguage, useTexts } from '../i18n'
import { ME, useSession } from '../session'

export function Profile() {
  const { profile: t } = useTexts()
  const { profile } = useSession()
  return (
    <Page title={t.title}>
      <RequireSession>
        {profile && (
          <div className="columns">
            <ProfileForm profile={profile} />
            <div>
              <Avatar profile={profile} />
              <Storage storage={profile.storage} />
            </div>
          </div>
        )}
      </RequireSession>
    </Page>
  )
}

function ProfileForm({ profile }: { profile: ProfileType }) {
  const { t, setLanguage: setShown } = useLanguage()
  const cache = useQueryClient()
  const [display_name, setName] = useState(profile.display_name)
  const [bio, setBio] = useState(profile.bio)
  const [language, setLanguage] = useState(profile.language)
  const saving = useMutation({
    mutationFn: () =>
      ok(api.PATCH('/api/v1/profiles/{id}/', { ...ME, body: { display_name, bio, language } })),
    onSuccess: async () => {
      if (language) setShown(language.startsWith('es') ? 'es' : 'en')
      await cache.invalidateQueries()
    },
  })
  const languages = new Set(['', 'en', 'es', language]) // the API knows all languages: keep what was chosen elsewhere
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault()
        saving.mutate()
      }}
    >
      {profile.email && <p className="hint">{t.profile.signedInAs(profile.email)}</p>}
      <Field
        label={t.profile.name}
        name="display_name"
        value={display_name}
        onChange={setName}
        problem={saving.error}
      />
      <Field
        label={t.profile.bio}
        name="bio"
        value={bio}
        onChange={setBio}
        problem={saving.error}
        multiline
      />
      <Field
        label={t.profile.language}
        name="language"
        value={language}
        onChange={setLanguage}
        problem={saving.error}
      >
        {[...languages].map((tag) => (
          <option key={tag} value={tag}>
            {tag ? (new Intl.DisplayNames(tag, { type: 'language' }).of(tag) ?? tag) : '—'}
          </option>
        ))}
      </Field>
      <Problem error={saving.error} />
      <p className="row">
        <button className="primary" disabled={saving.isPending}>
          {t.save}
        </button>
        <span role="status">{saving.isSuccess && t.saved}</span>
      </p>
    </form>
  )
}

function Avatar({ profile }: { profile: ProfileType }) {
  const t = useTexts()
  const cache = useQueryClient()
  const onChanged = () => void cache.invalidateQueries()
  const accept = queries.useQuery('get', '/api/v1/upload-rules/').data?.profiles.avatar.accept ?? ''
  const requestTicket = (file: File, signal: AbortSignal) =>
    ok(api.POST('/api/v1/profiles/{id}/upload-url/', { ...ME, body: declared(file), signal }))
  const deleting = useMutation({
    mutationFn: () => ok(api.DELETE('/api/v1/profiles/{id}/avatar/', ME)),
    onSuccess: onChanged,
  })
  return (
    <section aria-labelledby="avatar">
      <h2 id="avatar">{t.profile.avatar}</h2>
      <div className="avatar">
        {profile.avatar?.url && <Picture image={profile.avatar} sizes="10rem" eager />}
      </div>
      <FilePicker
        label={t.profile.choose}
        accept={accept}
        requestTicket={requestTicket}
        onCompleted={onChanged}
      />
      {profile.avatar && (
        <button
          type="button"
          className="danger"
          disabled={deleting.isPending}
          onClick={() => deleting.mutate()}
        >
          {t.profile.deleteAvatar}
        </button>
      )}
      <Problem error={deleting.error} />
    </section>
  )
}

function Storage({ storage }: { storage: ProfileType['storage'] }) {
  const { t, formatBytes } = useLanguage()
  const { used, limit } = storage
  return (
    <section aria-labelledby="storage">
      <h2 id="storage">{t.profile.storage}</h2>
      {limit !== null && <progress aria-labelledby="storage" value={used} max={limit} />}
      <p>{limit === null ? formatBytes(used) : t.profile.of(formatBytes(used), formatBytes(limit))}</p>
    </section>
  )
}
