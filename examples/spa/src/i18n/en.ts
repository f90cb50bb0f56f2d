export const en = {
  loading: 'Loading…',
  save: 'Save',
  saved: 'Saved.',
  delete: 'Delete',
  cancel: 'Cancel',
  retry: 'Try again',
  layout: {
    skip: 'Skip to the content',
    navigation: 'Main',
    catalogue: 'Species',
    exhibitions: 'Exhibitions',
    documents: 'Documents',
    profile: 'Profile',
    signIn: 'Sign in',
    signOut: 'Sign out',
    language: 'Language',
    theme: 'Colours',
    themes: { system: 'As the system', light: 'Light', dark: 'Dark' },
  },
  problem: {
    offline: 'The server cannot be reached.',
    notFound: 'There is no such page',
    signInFirst: 'Sign in to see this page.',
    notAllowed: 'Only staff see this page.',
  },
  catalogue: { title: 'Species' },
  species: {},
  exhibitions: { title: 'Exhibitions' },
  profile: { title: 'Profile' },
  edit: {},
  signIn: { title: 'Sign in' },
  documents: { title: 'Documents' },
  uploads: {},
}

// The shape of the texts: a text is any string, and a function gives one.
type Shape<T> = T extends string ? string : T extends (...values: infer V) => string ? (...values: V) => string : { [K in keyof T]: Shape<T[K]> }
export type Texts = Shape<typeof en>
