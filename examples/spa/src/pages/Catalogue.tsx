import { keepPreviousData } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'
import { Link, useSearchParams } from 'react-router'
import { queries, type Species, type Status } from '../api'
import { Page } from '../components/Page'
import { Pager } from '../components/Pager'
import { Picture } from '../components/Picture'
import { Problem } from '../components/Problem'
import { useTexts } from '../i18n'

const PAGE_SIZE = 12
const CLASSES = ['Mammalia', 'Aves', 'Reptilia', 'Amphibia', 'Actinopterygii'] as const

export function Catalogue() {
  const t = useTexts()
  // The search is part of the address: it can be bookmarked, and “back” works.
  const [address, setAddress] = useSearchParams()
  const page = Number(address.get('page') ?? 1)
  const query = {
    search: address.get('search') ?? '',
    taxonomic_class: address.get('class') ?? '',
    ...(address.get('status') && { conservation_status: address.get('status') as Status }),
    page,
    page_size: PAGE_SIZE,
  }
  const { data, error, refetch } = queries.useQuery(
    'get',
    '/api/v1/species/',
    { params: { query } },
    { placeholderData: keepPreviousData },
  )

  // “Back” also fills the form.
  const form = useRef<HTMLFormElement>(null)
  useEffect(() => {
    for (const field of form.current?.querySelectorAll<HTMLInputElement>('[name]') ?? []) {
      field.value = address.get(field.name) ?? ''
    }
  }, [address])

  const search = (form: HTMLFormElement) => {
    const filled = [...new FormData(form)].filter(([, value]) => value)
    setAddress(filled as [string, string][])
  }
  const goTo = (next: number) => {
    address.set('page', String(next))
    setAddress(address)
  }

  return (
    <Page title={t.catalogue.title}>
      <form
        className="row"
        role="search"
        ref={form}
        onSubmit={(event) => {
          event.preventDefault()
          search(event.currentTarget)
        }}
      >
        <label className="grow">
          {t.catalogue.search}
          <input type="search" name="search" />
        </label>
        <label>
          {t.species.status}
          <select name="status">
            <option value="">{t.catalogue.all}</option>
            {Object.entries(t.statuses).map(([code, name]) => (
              <option key={code} value={code}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          {t.species.class}
          <select name="class">
            <option value="">{t.catalogue.all}</option>
            {CLASSES.map((name) => (
              <option key={name} value={name}>
                {t.classes[name]}
              </option>
            ))}
          </select>
        </label>
        <button className="primary">{t.catalogue.submit}</button>
      </form>

      <Problem error={error} retry={() => void refetch()} />
      <p role="status">{data ? t.catalogue.found(data.count ?? 0) : !error && t.loading}</p>
      <ul className="grid plain">
        {data?.results.map((species) => (
          <Card key={species.id} species={species} />
        ))}
      </ul>
      <Pager page={page} pages={Math.ceil((data?.count ?? 0) / PAGE_SIZE)} onChange={goTo} />
    </Page>
  )
}

function Card({ species }: { species: Species }) {
  const t = useTexts()
  return (
    <li className="card">
      {species.image ? (
        <Picture image={species.image} sizes="(max-width: 40rem) 100vw, 18rem" />
      ) : (
        <div className="picture" />
      )}
      <div className="body">
        <h2>
          <Link to={`/species/${species.slug}`}>{species.common_name}</Link>
        </h2>
        <p>
          <i lang="la">{species.scientific_name}</i>
        </p>
        <span className="badge">{t.statuses[species.conservation_status]}</span>
        {!species.published && <span className="badge">{t.species.unpublished}</span>}
      </div>
    </li>
  )
}
