import { createBrowserRouter, RouterProvider } from 'react-router'
import { Layout } from './Layout'
import { Catalogue } from './pages/Catalogue'
import { Documents } from './pages/Documents'
import { Exhibitions } from './pages/Exhibitions'
import { NotFound } from './pages/NotFound'
import { Profile } from './pages/Profile'
import { SignIn } from './pages/SignIn'
import { Species } from './pages/Species'
import { SpeciesEdit } from './pages/SpeciesEdit'

const router = createBrowserRouter([
  {
    element: <Layout />,
    children: [
      { path: '/', element: <Catalogue /> },
      { path: '/species/:slug', element: <Species /> }, // where the QR codes lead, with PUBLIC_SITE_URL=http://localhost:5173
      { path: '/species/:slug/edit', element: <SpeciesEdit /> },
      { path: '/exhibitions', element: <Exhibitions /> },
      { path: '/documents', element: <Documents /> },
      { path: '/profile', element: <Profile /> },
      { path: '/sign-in', element: <SignIn /> },
      { path: '*', element: <NotFound /> },
    ],
  },
])

export const App = () => <RouterProvider router={router} />
