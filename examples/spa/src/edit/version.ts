import { api, type Species } from '../api'

/** A species as it was read, with the ETag of this version. */
export type Version = { species: Species; etag: string }

type Answer = { data?: Species; error?: unknown; response: Response }

const FIELDS = [
  'common_name',
  'scientific_name',
  'conservation_status',
  'taxonomic_class',
  'taxonomic_order',
  'family',
  'habitat',
  'description',
  'published',
] as const
export type Values = Pick<Species, (typeof FIELDS)[number]>

export async function read(slug: string): Promise<Version> {
  return version(await api.GET('/api/v1/species/{slug}/', { params: { path: { slug } }, cache: 'no-cache' }))
}

/** Somebody else has saved other values since they were read. */
export class ConflictError extends Error {
  constructor(readonly theirs: Version) {
    super('precondition_failed')
  }
}

/** Saves the values if nobody has changed those of `base`, which they began from. Throws ConflictError. */
export async function save(slug: string, values: Values, base: Version): Promise<Version> {
  const params = { path: { slug }, header: { 'If-Match': base.etag } }
  const answer = await api.PATCH('/api/v1/species/{slug}/', { params, body: values })
  if (answer.response.status !== 412) return version(answer)
  const now = await read(slug)
  // An ETag is that of the whole answer: it also changes with the first picture, which is no conflict.
  if (differences(valuesOf(base.species), valuesOf(now.species)).length > 0) throw new ConflictError(now)
  return save(slug, values, now)
}

function version({ data, error, response }: Answer): Version {
  if (!data) throw error
  return { species: data, etag: response.headers.get('ETag') ?? '*' }
}

export function valuesOf(species: Species): Values {
  return Object.fromEntries(FIELDS.map((field) => [field, species[field]])) as Values
}

/** The fields in which two versions differ. */
export const differences = (mine: Values, theirs: Values) =>
  FIELDS.filter((field) => mine[field] !== theirs[field])
