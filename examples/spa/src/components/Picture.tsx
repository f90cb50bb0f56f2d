import type { Image } from '../api'
import { useLanguage } from '../i18n'

type Shown = Pick<Image, 'url' | 'width' | 'height' | 'renditions' | 'placeholder'> & {
  alt: { en?: string; es?: string }
}

/**
 * A picture in the rendition that suits the screen: the browser chooses from `srcset`, once it knows from `sizes`
 * how wide the picture will be. Until it has arrived, the placeholder is seen, which is part of the JSON.
 */
export function Picture({ image, sizes, eager = false }: { image: Shown; sizes: string; eager?: boolean }) {
  const { language } = useLanguage()
  const webp = image.renditions.filter((rendition) => rendition.content_type === 'image/webp')
  return (
    <img
      className="picture"
      src={image.url ?? undefined}
      srcSet={webp.map(({ url, width }) => `${url} ${width}w`).join(', ') || undefined}
      sizes={sizes}
      width={image.width ?? undefined}
      height={image.height ?? undefined}
      alt={image.alt[language] || image.alt.en || ''}
      loading={eager ? 'eager' : 'lazy'}
      style={image.placeholder ? { backgroundImage: `url("${image.placeholder}")` } : undefined}
    />
  )
}
