import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ok, type Licence, type Picture as PictureType } from '../api'
import { Field } from '../components/Field'
import { Picture } from '../components/Picture'
import { Problem } from '../components/Problem'
import { useTexts } from '../i18n'

const LICENCES: Licence[] = [
  '',
  'CC0-1.0',
  'CC-PDDC',
  'CC-BY-4.0',
  'CC-BY-SA-4.0',
  'CC-BY-ND-4.0',
  'CC-BY-NC-4.0',
  'CC-BY-NC-SA-4.0',
  'CC-BY-NC-ND-4.0',
  'all-rights-reserved',
]

type Props = { slug: string; picture: PictureType; positions: number }

export function PictureForm({ slug, picture, positions }: Props) {
  const { edit: t, ...common } = useTexts()
  const cache = useQueryClient()
  const [alt, setAlt] = useState(picture.alt)
  const [credit, setCredit] = useState(picture.credit)
  const [licence, setLicence] = useState(picture.licence)
  const [position, setPosition] = useState<number>() // only if it was chosen: the other pictures move too
  const params = { path: { slug, id: picture.id } }
  const onSuccess = () => cache.invalidateQueries()
  const saving = useMutation({
    mutationFn: () => {
      const body = { alt, credit, licence, ...(position !== undefined && { position }) }
      return ok(api.PATCH('/api/v1/species/{slug}/pictures/{id}/', { params, body }))
    },
    onSuccess,
  })
  const deleting = useMutation({
    mutationFn: () => ok(api.DELETE('/api/v1/species/{slug}/pictures/{id}/', { params })),
    onSuccess,
  })
  const problem = saving.error ?? deleting.error
  return (
    <>
      {picture.processing ? (
        <p className="body">{t.processing}</p>
      ) : (
        <Picture image={picture} sizes="20rem" />
      )}
      <form
        className="stack body"
        aria-label={t.picture(picture.position + 1)}
        onSubmit={(event) => {
          event.preventDefault()
          saving.mutate()
        }}
      >
        {(['en', 'es'] as const).map((language) => (
          <Field
            key={language}
            label={t.alt[language]}
            name={`alt/${language}`}
            value={alt[language] ?? ''}
            onChange={(value) => setAlt({ ...alt, [language]: value })}
            problem={problem}
            lang={language}
          />
        ))}
        <Field label={t.credit} name="credit" value={credit} onChange={setCredit} problem={problem} />
        <div className="row">
          <Field
            label={t.licence}
            name="licence"
            value={licence}
            onChange={(value) => setLicence(value as Licence)}
          >
            {LICENCES.map((name) => (
              <option key={name} value={name}>
                {name || '—'}
              </option>
            ))}
          </Field>
          <Field
            label={t.position}
            name="position"
            value={String(position ?? picture.position)}
            onChange={(value) => setPosition(Number(value))}
          >
            {Array.from({ length: positions }, (_, index) => (
              <option key={index} value={index}>
                {index + 1}
              </option>
            ))}
          </Field>
        </div>
        <Problem error={problem} />
        <p className="row">
          <button disabled={saving.isPending}>{common.save}</button>
          <button
            type="button"
            className="danger"
            disabled={deleting.isPending}
            onClick={() => confirm(t.confirm) && deleting.mutate()}
          >
            {common.delete}
          </button>
        </p>
      </form>
    </>
  )
}
