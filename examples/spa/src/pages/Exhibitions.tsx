import { keepPreviousData } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'react-router'
import { queries, type Exhibition } from '../api'
import { Page } from '../components/Page'
import { Picture } from '../components/Picture'
import { Problem } from '../components/Problem'
import { today } from '../dates'
import { useLanguage, useTexts } from '../i18n'

export function Exhibitions() {
  const t = useTexts()
  const [day, setDay] = useState(today)
  const params = { query: { open_on: day, page_size: 100 } }
  const { data, error, refetch } = queries.useQuery(
    'get',
    '/api/v1/exhibitions/',
    { params },
    { placeholderData: keepPreviousData },
  )
  return (
    <Page title={t.exhibitions.title}>
      <label className="inline">
        {t.exhibitions.openOn}
        <input
          type="date"
          required
          value={day}
          onChange={(event) => event.target.value && setDay(event.target.value)}
        />
      </label>
      <Problem error={error} retry={() => void refetch()} />
      <p role="status">{data ? t.exhibitions.found(data.count ?? 0) : !error && t.loading}</p>
      <ul className="plain list">
        {data?.results.map((exhibition) => (
          <Card key={exhibition.id} exhibition={exhibition} />
        ))}
      </ul>
    </Page>
  )
}

function Card({ exhibition }: { exhibition: Exhibition }) {
  const { t, formatDate } = useLanguage()
  const { opens_on, closes_on } = exhibition
  const params = { query: { page_size: 100 } }
  const { data } = queries.useQuery('get', '/api/v1/species/', { params }) // one request for all cards: it is cached
  const species = data?.results.filter(({ slug }) => exhibition.species.includes(slug))
  return (
    <li className="card wide" id={exhibition.slug}>
      {exhibition.image ? (
        <Picture image={exhibition.image} sizes="(max-width: 48rem) 100vw, 20rem" />
      ) : (
        <div className="picture" />
      )}
      <div className="body">
        <h2>{exhibition.title}</h2>
        <p className="hint">
          {[
            exhibition.location,
            closes_on
              ? t.exhibitions.dates(opens_on && formatDate(opens_on), formatDate(closes_on))
              : t.exhibitions.permanent,
          ]
            .filter(Boolean)
            .join(' · ')}
        </p>
        <p className="text">{exhibition.description}</p>
        <ul className="plain row">
          {species?.map(({ slug, common_name }) => (
            <li key={slug}>
              <Link to={`/species/${slug}`}>{common_name}</Link>
            </li>
          ))}
        </ul>
      </div>
    </li>
  )
}
