import { Link, useParams } from 'react-router'
import { asProblem, queries, type Species as SpeciesType } from '../api'
import { Page } from '../components/Page'
import { Picture } from '../components/Picture'
import { Problem } from '../components/Problem'
import { today } from '../dates'
import { useTexts } from '../i18n'
import { useSession } from '../session'

/** Visitors of the zoo come here from the QR code at the enclosure. */
export function Species() {
  const { slug = '' } = useParams()
  const t = useTexts()
  const { may } = useSession()
  const params = { path: { slug } }
  const { data: species, error, refetch } = queries.useQuery('get', '/api/v1/species/{slug}/', { params })
  const missing = asProblem(error)?.code === 'not_found'

  return (
    <Page title={species?.common_name ?? (error ? t.problem.notFound : t.loading)}>
      <Problem error={error} {...(!missing && { retry: () => void refetch() })} />
      {species && (
        <>
          <p className="lead">
            <i lang="la">{species.scientific_name}</i>{' '}
            <span className="badge">{t.statuses[species.conservation_status]}</span>
          </p>
          <div className="columns">
            <div>
              <Gallery slug={slug} />
              <p className="text">{species.description}</p>
              {may('change_catalogue') && (
                <Link className="button" to={`/species/${slug}/edit`}>
                  {t.species.edit}
                </Link>
              )}
              <Exhibitions slug={slug} />
            </div>
            <Facts species={species} />
          </div>
        </>
      )}
    </Page>
  )
}

function Gallery({ slug }: { slug: string }) {
  const { species: t } = useTexts()
  const params = { path: { slug }, query: { page_size: 100 } }
  const { data, error } = queries.useQuery('get', '/api/v1/species/{slug}/pictures/', { params })
  // A picture without renditions is still being processed.
  const pictures = data?.results.filter((picture) => picture.renditions.length > 0) ?? []
  return (
    <section aria-label={t.gallery}>
      <Problem error={error} />
      <ul className="gallery plain">
        {pictures.map((picture, index) => (
          <li key={picture.id}>
            <figure>
              <Picture image={picture} sizes="(max-width: 48rem) 100vw, 44rem" eager={index === 0} />
              {picture.credit && (
                <figcaption className="hint">
                  {t.pictureBy(picture.credit)} {picture.licence && `· ${picture.licence}`}
                </figcaption>
              )}
            </figure>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Facts({ species }: { species: SpeciesType }) {
  const { species: t } = useTexts()
  const facts = [
    [t.habitat, species.habitat],
    [t.class, species.taxonomic_class],
    [t.order, species.taxonomic_order],
    [t.family, species.family],
  ] as const
  return (
    <aside className="card body" aria-label={t.facts}>
      <dl>
        {facts.map(
          ([name, value]) =>
            value && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      {species.qr_code_url && (
        <img className="qr" src={species.qr_code_url} alt={t.qrCode} width={160} height={160} />
      )}
    </aside>
  )
}

/** An exhibition has the slugs of its species; those open today are few. */
function Exhibitions({ slug }: { slug: string }) {
  const { species: t } = useTexts()
  const params = { query: { open_on: today(), page_size: 100 } }
  const { data } = queries.useQuery('get', '/api/v1/exhibitions/', { params })
  const shown = data?.results.filter((exhibition) => exhibition.species.includes(slug))
  if (!shown?.length) return null
  return (
    <section>
      <h2>{t.seenAt}</h2>
      <ul>
        {shown.map((exhibition) => (
          <li key={exhibition.id}>
            <Link to={`/exhibitions#${exhibition.slug}`}>{exhibition.title}</Link>
            {exhibition.location && `, ${exhibition.location}`}
          </li>
        ))}
      </ul>
    </section>
  )
}
