import { api, type Species } from '../api'

/** A species as it was read, with the ETag of this version. */
export type Version = { species: Species; etag: string }

type Answer = { data?: unknown; error?: unknown; response: Response }

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

/** Save the values, if nobody has changed the species since: else the API answers 412 `precondition_failed`. */
export async function save(slug: string, values: Values, etag: string): Promise<Version> {
  const headers = { 'If-Match': etag }
  return version(
    await api.PATCH('/api/v1/species/{slug}/', { params: { path: { slug } }, body: values, headers }),
  )
}

function version({ data, error, response }: Answer): Version {
  if (!response.ok) throw error
  return { species: data as Species, etag: response.headers.get('ETag') ?? '*' }
}

export function valuesOf(species: Species): Values {
  return Object.fromEntries(FIELDS.map((field) => [field, species[field]])) as Values
}

/** The fields in which two versions differ. */
export const differences = (mine: Values, theirs: Values) =>
  FIELDS.filter((field) => mine[field] !== theirs[field])
