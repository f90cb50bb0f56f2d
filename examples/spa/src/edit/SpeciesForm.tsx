import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Field } from '../components/Field'
import { Problem } from '../components/Problem'
import { useTexts } from '../i18n'
import { Conflict } from './Conflict'
import { ConflictError, save, valuesOf, type Version } from './version'

const TEXTS = ['taxonomic_class', 'taxonomic_order', 'family'] as const
const LONG_TEXTS = ['habitat', 'description'] as const

export function SpeciesForm({ slug, initial }: { slug: string; initial: Version }) {
  const t = useTexts()
  const cache = useQueryClient()
  const [base, setBase] = useState(initial) // the version that these values began from
  const [values, setValues] = useState(() => valuesOf(initial.species))

  const take = (version: Version) => {
    setBase(version)
    setValues(valuesOf(version.species))
  }
  const saving = useMutation({
    mutationFn: (version: Version) => save(slug, values, version),
    onSuccess: async (saved) => {
      take(saved)
      await cache.invalidateQueries()
    },
  })
  const theirs = saving.error instanceof ConflictError ? saving.error.theirs : null
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
          saving.mutate(base)
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
          keepMine={() => saving.mutate(theirs)} // and again a conflict, if there is a third version
          takeTheirs={() => {
            take(theirs)
            saving.reset()
          }}
        />
      )}
    </>
  )
}
