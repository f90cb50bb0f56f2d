import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { asProblem } from '../api'
import { Field } from '../components/Field'
import { Problem } from '../components/Problem'
import { useTexts } from '../i18n'
import { Conflict } from './Conflict'
import { read, save, valuesOf, type Version } from './version'

const TEXTS = ['taxonomic_class', 'taxonomic_order', 'family'] as const
const LONG_TEXTS = ['habitat', 'description'] as const

export function SpeciesForm({ slug, initial }: { slug: string; initial: Version }) {
  const t = useTexts()
  const cache = useQueryClient()
  const [values, setValues] = useState(() => valuesOf(initial.species))
  const [etag, setEtag] = useState(initial.etag) // of the version that these values began from
  const [theirs, setTheirs] = useState<Version | null>(null)

  const take = ({ species, etag }: Version) => {
    setValues(valuesOf(species))
    setEtag(etag)
    setTheirs(null)
  }
  const saving = useMutation({
    mutationFn: (match: string) => save(slug, values, match),
    onSuccess: async (saved) => {
      take(saved)
      await cache.invalidateQueries()
    },
    onError: async (error) => {
      if (asProblem(error)?.code === 'precondition_failed') setTheirs(await read(slug))
    },
  })
  const field = (name: Exclude<keyof typeof values, 'published'>) => ({
    name,
    label: t.species.fields[name],
    value: values[name],
    onChange: (value: string) => setValues({ ...values, [name]: value }),
    problem: saving.error,
  })

  return (
    <>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault()
          saving.mutate(etag)
        }}
      >
        <Field {...field('common_name')} />
        <Field {...field('scientific_name')} lang="la" />
        <Field {...field('conservation_status')}>
          {Object.entries(t.statuses).map(([code, name]) => (
            <option key={code} value={code}>
              {name}
            </option>
          ))}
        </Field>
        {TEXTS.map((name) => (
          <Field key={name} {...field(name)} />
        ))}
        {LONG_TEXTS.map((name) => (
          <Field key={name} {...field(name)} multiline />
        ))}
        <label className="check">
          <input
            type="checkbox"
            checked={values.published}
            onChange={(event) => setValues({ ...values, published: event.target.checked })}
          />
          {t.species.fields.published}
        </label>
        {!theirs && <Problem error={saving.error} />}
        <p className="row">
          <button className="primary" disabled={saving.isPending}>
            {t.save}
          </button>
          <span role="status">{saving.isSuccess && t.saved}</span>
        </p>
      </form>
      {theirs && (
        <Conflict
          mine={values}
          theirs={valuesOf(theirs.species)}
          keepMine={() => {
            setEtag(theirs.etag)
            setTheirs(null)
            saving.mutate(theirs.etag) // and again a conflict, if there is a third version
          }}
          takeTheirs={() => {
            take(theirs)
            saving.reset()
          }}
        />
      )}
    </>
  )
}
