import { useId, type ReactNode } from 'react'
import { errorOf } from '../api'

type Props = {
  label: string
  name: string
  value: string
  onChange: (value: string) => void
  multiline?: boolean
  lang?: string
  problem?: unknown
  children?: ReactNode
}

/** A field of a form, with what the API says of it. With options as children it is a choice. */
export function Field({ label, name, value, onChange, multiline = false, lang, problem, children }: Props) {
  const id = useId()
  const error = errorOf(problem, `#/${name}`)
  const common = {
    name,
    value,
    lang,
    onChange: (event: { target: { value: string } }) => onChange(event.target.value),
    'aria-invalid': error !== undefined,
    ...(error && { 'aria-describedby': id }),
  }
  return (
    <div>
      <label>
        {label}
        {children ? (
          <select {...common}>{children}</select>
        ) : multiline ? (
          <textarea rows={5} {...common} />
        ) : (
          <input {...common} />
        )}
      </label>
      {error && (
        <p className="error" id={id}>
          {error}
        </p>
      )}
    </div>
  )
}
