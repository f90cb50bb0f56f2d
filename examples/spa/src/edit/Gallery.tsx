import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, declared, ok, queries, type Licence, type Picture as PictureType, type Ticket } from '../api'
import { Field } from '../components/Field'
import { FilePicker } from '../components/FilePicker'
import { Picture } from '../components/Picture'
import { Problem } from '../components/Problem'
import { useTexts } from '../i18n'

const LICENCES: Licence[] = ['', 'CC0-1.0', 'CC-PDDC', 'CC-BY-4.0', 'CC-BY-SA-4.0', 'CC-BY-ND-4.0', 'CC-BY-NC-4.0', 'CC-BY-NC-SA-4.0', 'CC-BY-NC-ND-4.0', 'all-rights-reserved']

export function Gallery({ slug }: { slug: string }) {
  const { edit: t } = useTexts()
  const cache = useQueryClient()
  const path = { slug }
  const { data, error, refetch } = queries.useQuery(
    'get',
    '/api/v1/species/{slug}/pictures/',
    { params: { path, query: { page_size: 100 } } },
    // The renditions of a new picture are made after its upload: look again until they are there.
    { refetchInterval: ({ state }) => (state.data?.results.some((picture) => picture.processing) ? 1000 : false) },
  )
  const requestTicket = (file: File, signal: AbortSignal) =>
    ok(api.POST('/api/v1/species/{slug}/pictures/upload-url/', { params: { path }, body: declared(file), signal })) as Promise<Ticket>
  const pictures = data?.results ?? []
  return (
    <section>
      <h2>{t.pictures}</h2>
      <FilePicker label={t.addPictures} accept="image/*" multiple requestTicket={requestTicket} onCompleted={() => void cache.invalidateQueries()} />
      <Problem error={error} retry={() => void refetch()} />
      <ul className="plain list">
        {pictures.map((picture) => (
          // With `updated_at`, the form begins anew from what has been saved.
          <li key={picture.id + picture.updated_at} className="card wide">
            <PictureForm slug={slug} picture={picture} last={pictures.length} />
          </li>
        ))}
      </ul>
    </section>
  )
}

function PictureForm({ slug, picture, last }: { slug: string; picture: PictureType; last: number }) {
  const t = useTexts()
  const cache = useQueryClient()
  const [en, setEn] = useState(picture.alt.en ?? '')
  const [es, setEs] = useState(picture.alt.es ?? '')
  const [credit, setCredit] = useState(picture.credit)
  const [licence, setLicence] = useState(picture.licence)
  const [position, setPosition] = useState<number>() // only if it was chosen: others move too
  const params = { path: { slug, id: picture.id } }
  const onSuccess = () => cache.invalidateQueries()
  const body = { alt: { en, es }, credit, licence, ...(position !== undefined && { position }) }
  const saving = useMutation({ mutationFn: () => ok(api.PATCH('/api/v1/species/{slug}/pictures/{id}/', { params, body })), onSuccess })
  const deleting = useMutation({ mutationFn: () => ok(api.DELETE('/api/v1/species/{slug}/pictures/{id}/', { params })), onSuccess })
  return (
    <>
      {picture.processing ? <p className="body">{t.edit.processing}</p> : <Picture image={picture} sizes="20rem" />}
      <form
        className="stack body"
        aria-label={t.edit.picture(picture.position + 1)}
        onSubmit={(event) => {
          event.preventDefault()
          saving.mutate()
        }}
      >
        <Field label={t.edit.altEn} name="alt/en" value={en} onChange={setEn} problem={saving.error} lang="en" />
        <Field label={t.edit.altEs} name="alt/es" value={es} onChange={setEs} problem={saving.error} lang="es" />
        <Field label={t.edit.credit} name="credit" value={credit} onChange={setCredit} problem={saving.error} />
        <div className="row">
          <Field label={t.edit.licence} name="licence" value={licence} onChange={(value) => setLicence(value as Licence)}>
            {LICENCES.map((name) => (
              <option key={name} value={name}>
                {name || '—'}
              </option>
            ))}
          </Field>
          <Field label={t.edit.position} name="position" value={String(position ?? picture.position)} onChange={(value) => setPosition(Number(value))}>
            {Array.from({ length: last }, (_, index) => (
              <option key={index} value={index}>
                {index + 1}
              </option>
            ))}
          </Field>
        </div>
        <Problem error={saving.error ?? deleting.error} />
        <p className="row">
          <button>{t.save}</button>
          <button type="button" className="danger" disabled={deleting.isPending} onClick={() => confirm(t.edit.confirm) && deleting.mutate()}>
            {t.delete}
          </button>
        </p>
      </form>
    </>
  )
}
